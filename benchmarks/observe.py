"""
What watching costs: `python -m benchmarks.observe [--rounds N]`.

Messages through a sender whose transport does nothing, with no hook, with a Prometheus hook, and so on, in turn in one
process, several rounds, of which the best of each counts: what is slower is another program's doing. A transport that
does nothing is the worst case: whatever a hook costs is a larger part of less. Then the same over the simulator's API
door, which is what a program does. The ratios are what counts; the figures themselves are this machine's.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from typing import Any

from tests.faults.simulator_process import simulated

from seslimit import Limiter, Message, Sender, transport_from_url
from seslimit.observe import LogHook, Observer, OpenTelemetryHook, PrometheusHook
from seslimit.testing import FakeTransport

MESSAGE = Message("news@example.org", ("reader@example.net",), b"Subject: Hello\r\n\r\nHi\r\n", 1)
IN_MEMORY, OVER_THE_DOOR = 4_000, 1_500


def hooks() -> dict[str, Callable[[], list[Any]]]:
    return {
        "no hook": list,
        "observer": lambda: [Observer()],
        "Prometheus": lambda: [PrometheusHook()],
        "OpenTelemetry, no exporter": lambda: [OpenTelemetryHook()],
        "logging, at info, nowhere": lambda: [LogHook(_nowhere())],
    }


def _nowhere() -> logging.Logger:
    logger = logging.getLogger("benchmark.nowhere")
    logger.propagate = False
    logger.setLevel(logging.WARNING)
    return logger


async def _send(transport: Any, hooks: Iterable[Any], count: int, in_flight: int) -> None:
    async with Sender(transport, limiter=Limiter(1e6), hooks=hooks, max_in_flight=in_flight) as sender:
        async for report in sender.send_many(MESSAGE for _ in range(count)):
            assert report.outcome == "accepted"


def rounds(count: int, sent: int, transport: Callable[[], Any]) -> dict[str, list[tuple[float, float]]]:
    """Seconds and CPU seconds of each kind, in turn."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in hooks()}
    for number in range(count + 1):
        for name, make in hooks().items():
            began, cpu = time.perf_counter(), time.process_time()
            asyncio.run(_send(transport(), make(), sent, 10))
            if number:  # the first round warms up
                taken[name].append((time.perf_counter() - began, time.process_time() - cpu))
    return taken


def show(title: str, taken: dict[str, list[tuple[float, float]]], sent: int) -> None:
    print(f"\n{title}, {sent:,} messages, {len(taken['no hook'])} rounds")
    base = [min(column) for column in zip(*taken["no hook"], strict=True)]
    for name, each in taken.items():
        seconds, cpu = (min(column) for column in zip(*each, strict=True))
        print(
            f"  {name:28} {sent / seconds:8,.0f}/s   throughput {base[0] / seconds:5.3f}   CPU {cpu / base[1]:5.3f}   "
            f"{(cpu - base[1]) / sent * 1e6:+6.2f} µs a message"
        )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=7)
    count = options.parse_args().rounds
    show("a transport that does nothing", rounds(count, IN_MEMORY, FakeTransport), IN_MEMORY)
    with simulated(rate=1e9, ledger_limit=0) as service:
        over = rounds(count, OVER_THE_DOOR, lambda: transport_from_url(f"{service.ses_url}&max_connections=10"))
    show("the API door of the simulator", over, OVER_THE_DOOR)


if __name__ == "__main__":
    main()
