"""
The simulator in a process of its own, so that its work is not counted as the client's.

`simulated(...)` takes the arguments of `Simulator`; what is yielded has its URLs and, when the clients are done, its
counts.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

import attrs

from seslimit.testing import Counts, Simulator, Tally

# Any credentials will do, and none may be looked for on a network.
os.environ.update(AWS_ACCESS_KEY_ID="simulated", AWS_SECRET_ACCESS_KEY="simulated", AWS_EC2_METADATA_DISABLED="true")


@attrs.frozen
class Outside:
    """The simulator as its clients see it."""

    pipe: Connection = attrs.field(repr=False)
    pid: int
    smtp_port: int
    smtp_url: str
    api_url: str
    ses_url: str

    def counts(self) -> Counts:
        """What was accepted and refused so far."""
        counts: Counts = self._ask("counts")
        return counts

    def doubled(self) -> int:
        """Messages that were accepted more than once."""
        return int(self._ask("doubled"))

    def arrivals(self) -> list[tuple[str, float]]:
        """Every recipient of an accepted message, and when it was, in seconds; as far as the ledger is kept."""
        arrivals: list[tuple[str, float]] = self._ask("arrivals")
        return arrivals

    def tally(self, begin: float, end: float) -> Tally:
        """What was decided from `begin` to `end`, in seconds since the first decision."""
        tally: Tally = self._ask("tally", begin, end)
        return tally

    def _ask(self, *question: Any) -> Any:
        self.pipe.send(question)
        return self.pipe.recv()


@contextmanager
def simulated(**options: Any) -> Iterator[Outside]:
    """A running simulator."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(there, options), daemon=True)
    process.start()
    # Or a process that did not come up would be waited for for ever.
    there.close()
    assert process.pid is not None
    yield Outside(here, process.pid, *here.recv())
    here.send(("stop",))
    process.join()


def _serve(pipe: Connection, options: dict[str, Any]) -> None:
    logging.disable(logging.CRITICAL)
    asyncio.run(_answer(pipe, options))


async def _answer(pipe: Connection, options: dict[str, Any]) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    async with Simulator(**options) as simulator:
        answers: dict[str, Any] = {
            "counts": lambda: simulator.counts,
            "doubled": lambda: sum(simulator.duplicates().values()),
            "arrivals": lambda: [(to, message.at) for message in simulator.accepted for to in message.recipients],
            "tally": simulator.tally,
        }

        def answer() -> None:
            what, *arguments = pipe.recv()
            if what == "stop":
                stopped.set()
            else:
                pipe.send(answers[what](*arguments))

        loop.add_reader(pipe.fileno(), answer)
        pipe.send((simulator.smtp_port, simulator.smtp_url, simulator.api_url, simulator.ses_url))
        await stopped.wait()
        loop.remove_reader(pipe.fileno())
