"""
A server that speaks SQS, on loopback: moto's, one request at a time.

moto's queues are sets and lists that its threads change while others read them: under several workers it loses count,
and gives a message to two. A request that waits for a message lets the others go meanwhile. Moto also looks through the
whole queue several times for each message that is put, given or deleted; here it stops at the one that it looks for.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import pytest
from moto.server import ThreadedMotoServer
from moto.sqs import models
from moto.sqs.exceptions import ReceiptHandleIsInvalid
from moto.sqs.models import Message, SQSBackend

AWS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_EC2_METADATA_DISABLED": "true"}

SERIAL = (
    *("send_message_batch", "delete_message_batch", "change_message_visibility_batch"),
    *("get_queue_attributes", "get_queue", "create_queue"),
)
"""What changes a queue, or looks through it."""


class Visible:
    """A queue's messages that may be given, looked for when they are."""

    def __init__(self, queue: models.Queue) -> None:
        self._messages = queue._messages

    def __iter__(self) -> Iterator[Message]:
        return (message for message in self._messages if message.visible and not message.delayed)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __bool__(self) -> bool:
        return any(True for _ in self)


def delete(queue: models.Queue, receipt_handle: str) -> None:
    """Take a message out of a queue."""
    for index, message in enumerate(queue._messages):
        if message.had_receipt_handle(receipt_handle):
            queue.pending_messages.discard(message)
            queue.deleted_messages.update(filter(None, message.all_receipt_handles))
            del queue._messages[index]
            return
    if receipt_handle not in queue.deleted_messages:
        raise ReceiptHandleIsInvalid


@contextmanager
def sqs_server() -> Iterator[str]:
    """A server; its URL."""
    lock = threading.RLock()

    def serial(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def alone(*args: Any, **kwargs: Any) -> Any:
            with lock:
                return function(*args, **kwargs)

        return alone

    receive: Callable[..., Any] = SQSBackend.receive_message

    def receive_message(
        backend: SQSBackend, name: str, count: int, wait: int, visibility: int, names: list[str] | None = None
    ) -> Any:
        ends = time.monotonic() + wait
        while True:
            with lock:
                found = receive(backend, name, count, 0, visibility, names)
            if found or time.monotonic() >= ends:
                return found
            time.sleep(0.02)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SQSBackend, "send_message_batch", _uncounted(SQSBackend.send_message_batch))
        for each in SERIAL:
            patch.setattr(SQSBackend, each, serial(getattr(SQSBackend, each)))
        patch.setattr(SQSBackend, "receive_message", receive_message)
        patch.setattr(SQSBackend, "is_message_valid_based_on_retention_period", lambda *_: True)
        patch.setattr(models, "unix_time_millis", lambda: time.time() * 1000.0)
        patch.setattr(models.Queue, "messages", property(Visible))
        patch.setattr(models.Queue, "delete_message", delete)
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        try:
            yield f"http://{host}:{port}"
        finally:
            server.stop()


def _uncounted(send: Callable[..., Any]) -> Callable[..., Any]:
    """Sending, without the numbers of messages that come with a queue's attributes."""

    @wraps(send)
    def uncounted(*args: Any, **kwargs: Any) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            for name in ("", "_delayed", "_not_visible"):
                patch.setattr(models.Queue, f"approximate_number_of_messages{name}", 0)
            return send(*args, **kwargs)

    return uncounted
