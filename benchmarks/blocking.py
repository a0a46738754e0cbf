"""
What the bridge of `seslimit.blocking` costs, and whether threads reach the rate through it.

`python -m benchmarks.blocking [--seconds N] [--rate R]`: an admission by the asynchronous `Limiter` and by the blocking
one, alone and from 8 threads, side by side in one run and as microseconds; then 8 threads that send at a known rate.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import smtplib
import threading
import time
from collections.abc import Callable

import seslimit
from seslimit import blocking
from seslimit.testing import Simulator

FREE = 1e6
"""Recipients/s: nothing waits for the rate."""

CONTENT = b"From: sender@example.com\r\nTo: reader@example.org\r\nSubject: hello\r\n\r\nhello\r\n"


async def asynchronous(count: int) -> float:
    """Microseconds of an admission by `seslimit.Limiter`."""
    limiter = seslimit.Limiter(FREE)
    begun = time.perf_counter()
    for _ in range(count):
        async with limiter.admit():
            pass
    return (time.perf_counter() - begun) / count * 1e6


def bridged(count: int, threads: int = 1) -> float:
    """Microseconds of an admission by `seslimit.blocking.Limiter`."""
    limiter = blocking.Limiter(FREE)

    def admit() -> None:
        for _ in range(count // threads):
            with limiter.admit():
                pass

    return in_threads(threads, admit) / count * 1e6


def wrapped(count: int) -> float:
    """Microseconds of a call of a wrapped function that does nothing."""
    call = blocking.Limiter(FREE).wrap()(lambda: None)
    begun = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - begun) / count * 1e6


def in_threads(count: int, function: Callable[[], None]) -> float:
    """Seconds until a function has ended in so many threads."""
    threads = [threading.Thread(target=function) for _ in range(count)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - begun


def utilisation(rate: float, seconds: float, threads: int = 8) -> dict[str, float]:
    """What share of a known rate so many threads with smtplib reach."""
    with Simulator(rate=rate, latency=0.003, ledger_limit=0).in_thread() as simulator:
        limiter = blocking.Limiter(rate, max_rate=rate)
        moments: list[float] = []
        begun = time.monotonic()

        def send() -> None:
            with smtplib.SMTP("127.0.0.1", simulator.smtp_port) as client:
                client.login("user", "password")
                hand_over = limiter.wrap()(client.sendmail)
                while time.monotonic() - begun < seconds + 1:
                    hand_over("sender@example.com", ["reader@example.org"], CONTENT)
                    moments.append(time.monotonic())

        in_threads(threads, send)
        counts = simulator.counts
    # The second in which the sessions open is left out.
    accepted = sum(begun + 1 <= moment < begun + 1 + seconds for moment in moments)
    return {
        "rate": rate,
        "accepted_per_second": round(accepted / seconds, 2),
        "share": round(accepted / seconds / rate, 4),
        "throttled": counts.throttled,
    }


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=20.0)
    options.add_argument("--rate", type=float, default=200.0)
    options.add_argument("--count", type=int, default=5000)
    asked = options.parse_args()
    rounds = [
        (asyncio.run(asynchronous(asked.count)), bridged(asked.count), bridged(asked.count, 8), wrapped(asked.count))
        for _ in range(3)
    ]
    names = ("async with Limiter.admit", "with blocking.Limiter.admit", "the same, 8 threads", "blocking.Limiter.wrap")
    for name, *measured in zip(names, *rounds, strict=True):
        print(f"{name:28} {min(measured):8.1f} us")
    print(json.dumps(utilisation(asked.rate, asked.seconds)))


if __name__ == "__main__":
    main()
