"""The examples for queues that exist already, each with its real broker and with workers that are processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from seslimit.testing import Simulator

from .redis_instance import redis_server, redis_url

__all__ = ["redis_server", "redis_url"]

pytestmark = pytest.mark.once

EXAMPLES = Path(__file__).parent.parent / "examples" / "queues"

COUNT = 40

CELERY = ("celery", "--app", "celery_mail", "worker", "--pool", "prefork", "--concurrency", "2", "--loglevel", "ERROR")
TASKIQ = ("taskiq", "worker", "taskiq_mail:broker", "--workers", "2", "--log-level", "ERROR")

ASK_CELERY = """
import sys
from celery_mail import send
for n in range(int(sys.argv[1])):
    send.delay("a@example.com", ["b@example.net"], f"From: a@example.com\\r\\nX-Seslimit-Key: {n}\\r\\n\\r\\nhello")
"""

ASK_TASKIQ = """
import asyncio, sys
from taskiq_mail import broker, send
async def main():
    await broker.startup()
    for n in range(int(sys.argv[1])):
        content = f"From: a@example.com\\r\\nX-Seslimit-Key: {n}\\r\\n\\r\\nhello"
        await send.kiq("a@example.com", ["b@example.net"], content)
    await broker.shutdown()
asyncio.run(main())
"""


@contextmanager
def process(arguments: tuple[str, ...], environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A worker, which is ended after the block."""
    with subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=EXAMPLES,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as worker:
        try:
            yield worker
        finally:
            worker.terminate()
            try:
                worker.wait(20)
            except subprocess.TimeoutExpired:
                worker.kill()


@pytest.mark.parametrize(("workers", "ask"), [(CELERY, ASK_CELERY), (TASKIQ, ASK_TASKIQ)], ids=["celery", "taskiq"])
def test_every_message_of_the_queue_is_sent_once_and_none_is_throttled(
    workers: tuple[str, ...], ask: str, redis_url: str, ses_simulator: Callable[..., Simulator]
) -> None:
    """Several processes, one account; they share its rate by the broker's own Redis."""
    simulator = ses_simulator(1000)
    environment = os.environ | {
        "BROKER_URL": redis_url,
        "MAIL_URL": simulator.smtp_url,
        "MAIL_SHARED": redis_url,
        "PYTHONPATH": os.pathsep.join([str(EXAMPLES), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    with process(workers, environment) as worker:
        subprocess.run([sys.executable, "-c", ask, str(COUNT)], cwd=EXAMPLES, env=environment, check=True, timeout=60)
        ends = time.monotonic() + 60
        while simulator.counts.accepted < COUNT and time.monotonic() < ends:
            assert worker.poll() is None
            time.sleep(0.05)
        assert simulator.counts.accepted == COUNT
    assert simulator.duplicates() == {}
    assert simulator.missing(map(str, range(COUNT))) == []
