"""
Run the Python blocks of one page, and fail where a function that they define is never called.

`python -m tests.docs_runner PAGE.md`: blocks share names, so that a page may go on from what it said before. A function
that is only defined may be wrong for years; where a page leaves the call to its reader, or to pytest, `CALLS` makes it.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from seslimit.testing.virtual_time import run

BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def _simulator_page(names: dict[str, Any]) -> None:
    """Run the page's tests as pytest would, with their fixtures."""
    with names["Simulator"](rate=14).in_thread() as simulator:
        names["test_the_new_reader_gets_one_message"](lambda **_: simulator)
    names["test_a_throttled_message_is_sent_again"](run)


def _test_your_sender_page(names: dict[str, Any]) -> None:
    """Run the page's tests as pytest would, with their fixtures."""
    from seslimit.testing import Simulator

    with ExitStack() as running:

        def ses_simulator(rate: float, **options: Any) -> Simulator:
            return running.enter_context(Simulator(rate, **options).in_thread())

        names["test_it_is_throttled"](ses_simulator)
        names["test_what_it_does_with_a_fault"](ses_simulator)
    names["test_an_hour_of_mail"](run)


def _transport_page(names: dict[str, Any]) -> None:
    """Open the service of the page's conformance test once."""

    async def opened() -> None:
        async with names["TestPostbox"]().service(1.0) as service:
            await service.behave(names["Lever"].ACCEPT)

    asyncio.run(opened())


def _queues_page(names: dict[str, Any]) -> None:
    """Work a queue off; what serves it is not looked at, which would take half a minute."""
    import logging
    import os

    profile = sys.getprofile()
    sys.setprofile(None)
    threading.setprofile(None)
    import boto3

    from .sqs_server import AWS, sqs_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    os.environ.update(AWS)
    with sqs_server() as url:
        client = boto3.client("sqs", region_name="eu-west-1", endpoint_url=url)
        client.create_queue(QueueName="dead")
        dead = {"deadLetterTargetArn": "arn:aws:sqs:eu-west-1:123456789012:dead", "maxReceiveCount": 5}
        attributes = {"RedrivePolicy": json.dumps(dead)}
        queue = client.create_queue(QueueName="mail", Attributes=attributes)["QueueUrl"]
        record = {"from": "news@example.com", "to": ["ada@example.net"], "subject": "Hello", "text": "Hi!"}
        client.send_message(QueueUrl=queue, MessageBody=json.dumps(record))
        client.close()
        sys.setprofile(profile)
        asyncio.run(names["work"](f"sqs://mail?region=eu-west-1&endpoint_url={url}", "sim://"))


CALLS: dict[str, Callable[[dict[str, Any]], None]] = {
    "queues.md": _queues_page,
    "simulator.md": _simulator_page,
    "test-your-sender.md": _test_your_sender_page,
    "write-a-transport.md": _transport_page,
}


def _functions(code: CodeType) -> Iterator[CodeType]:
    """The functions that a block defines, methods and inner ones included."""
    for constant in code.co_consts:
        if inspect.iscode(constant):
            if constant.co_flags & inspect.CO_OPTIMIZED and constant.co_name not in ("<lambda>", "<genexpr>"):
                yield constant
            yield from _functions(constant)


def main(page: Path) -> None:
    """Run the page's blocks."""
    source = "\n".join(block[1] for block in BLOCK.finditer(page.read_text(encoding="utf-8")))
    module = compile(source, str(page), "exec")
    called: set[CodeType] = set()

    def profile(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename == str(page):
            called.add(frame.f_code)

    threading.setprofile(profile)
    sys.setprofile(profile)
    names: dict[str, Any] = {"__name__": "page"}
    exec(module, names)  # noqa: S102  # our own page
    if page.name in CALLS:
        CALLS[page.name](names)
    sys.setprofile(None)
    missed = [each.co_qualname for each in _functions(module) if each not in called]
    if missed:
        sys.exit(f"{page.name} defines what it never calls: {', '.join(missed)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
