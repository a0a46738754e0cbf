"""
A server that speaks SQS, on loopback: moto's, one request at a time.

moto's queues are sets and lists that its threads change while others read them: under several workers it loses count,
and gives a message to two. A request that waits for a message lets the others go meanwhile.
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
from moto.sqs.models import SQSBackend

AWS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_EC2_METADATA_DISABLED": "true"}

SERIAL = (
    *("send_message_batch", "delete_message_batch", "change_message_visibility_batch"),
    *("get_queue_attributes", "get_queue", "create_queue"),
)
"""What changes a queue, or looks through it."""


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
        for each in SERIAL:
            patch.setattr(SQSBackend, each, serial(getattr(SQSBackend, each)))
        patch.setattr(SQSBackend, "receive_message", receive_message)
        # It counts the whole queue for each message that is given, which for 2,000 of them takes minutes.
        patch.setattr(SQSBackend, "is_message_valid_based_on_retention_period", lambda *_: True)
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        try:
            yield f"http://{host}:{port}"
        finally:
            server.stop()
