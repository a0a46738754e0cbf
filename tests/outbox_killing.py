"""
SIGKILL at any moment, and go on: what is lost and what is doubled.

A child sends a list through an outbox on SQLite to the simulator, which is not in its process, and is killed: at random
moments, and at each named crash point, before and after each step that it records. Then the same is started again,
until nothing is left. The ledgers of both sides are compared, in the words of Jepsen's total-queue:

attempts (the service saw), acknowledged (accepted, by the outbox), lost (neither accepted by the service nor told to be
in doubt), unexpected (accepted and not of the input), duplicated (accepted more than once), recovered (in doubt after a
kill, and accepted in the end).
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs

from seslimit import Limiter, Message, RetryPolicy, Sender, transport_from_url
from seslimit.outbox import Outbox
from seslimit.testing import Fault, Simulator

STEPS = ("add", "claim", "begins", "ends", "postpones", "returns")
ROOT = Path(__file__).parents[1]

RATE = 400.0
"""Recipients/s that the child sends: hundreds of kills find something to do."""

CONTENT = "From: news@example.org\r\nTo: reader@example.net\r\nSubject: Hello\r\nX-Seslimit-Key: {key}\r\n\r\nHi!\r\n"


def messages(count: int) -> Iterator[Message]:
    """The list."""
    for number in range(count):
        key = f"k{number}"
        yield Message("news@example.org", ["reader@example.net"], CONTENT.format(key=key).encode(), key)


# The child


def crashing(call: Callable[..., Awaitable[Any]], step: str, point: str, nth: int) -> Callable[..., Awaitable[Any]]:
    """A step that ends the program before or after its n-th time, if it is the one that was named."""
    left = nth

    async def crash(*args: Any, **kwargs: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0 and point == f"before {step}":
            os.kill(os.getpid(), signal.SIGKILL)
        result = await call(*args, **kwargs)
        if left == 0 and point == f"after {step}":
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return crash


async def child(box: str, url: str, count: int, on_unknown: Any, point: str, nth: int) -> None:
    """Send the list, and end at a crash point, if one is named."""
    inner = transport_from_url(url)
    outbox: Any = Outbox(box)
    for step in STEPS:
        setattr(outbox, step, crashing(getattr(outbox, step), step, point, nth))
    transport: Any = SimpleNamespace(send=crashing(inner.send, "send", point, nth), aclose=inner.aclose)
    limiter, retry = Limiter(RATE, max_rate=RATE), RetryPolicy(on_unknown=on_unknown, first_wait=0.2, max_wait=0.5)
    async with outbox, Sender(transport, limiter=limiter, retry=retry, outbox=outbox) as sender:
        told = 0
        async for _ in sender.send_many(messages(count)):
            told += 1
            if told == 1:
                sys.stdout.write("sending\n")
                sys.stdout.flush()
            if told == 20 and "returns" in point:
                sender.stop()


# The parent


@attrs.define
class Ledger:
    """Both sides, compared."""

    count: int
    on_unknown: str
    kills: int = 0
    in_doubt: int = 0
    most: int = 0
    doubtful: set[str] = attrs.field(factory=set)

    def killed(self, box: Path) -> None:
        """Look at what a kill has left."""
        self.kills += 1
        keys = {key for key, state in rows(box) if state == "sending"}
        self.in_doubt += len(keys)
        self.most = max(self.most, len(keys))
        self.doubtful |= keys

    def told(self, box: Path, simulator: Simulator, title: str) -> Told:
        """Compare both sides."""
        out = Counter(str(message.key) for message in simulator.accepted)
        ids = {(str(message.key), message.message_id) for message in simulator.accepted}
        states, given = dict(rows(box)), {f"k{number}" for number in range(self.count)}
        acknowledged = {key for key, state in states.items() if state == "accepted"}
        unknown = {key for key, state in states.items() if state == "unknown"}
        lost = {key for key in given if not out[key] and key not in unknown} | (acknowledged - set(out))
        wrong = {named for named in receipts(box) if named not in ids}
        doubled = sum(out.values()) - len(out)
        well = not (lost or set(out) - given or wrong or set(states) ^ given or given - acknowledged - unknown)
        well = well and doubled <= (0 if self.on_unknown == "hold" else self.in_doubt)
        row = (
            f"| {title}, {self.on_unknown} | {self.kills} | {attempts(simulator):,} | {len(acknowledged):,} | "
            f"{len(lost)} | {len(set(out) - given)} | {doubled} | {self.in_doubt} (at most {self.most} at once) | "
            f"{len(self.doubtful & set(out))} | {len(unknown)} | {'ok' if well else 'WRONG'} |"
        )
        return Told(well, row)


@attrs.frozen
class Told:
    """
    A comparison.

    Args:
        well: whether it is as it should be.
        row: all of it, as the row of a table.
    """

    well: bool
    row: str


HEAD = (
    "| killed at, on_unknown | kills | attempts | acknowledged | lost | unexpected | duplicated | in doubt "
    "| recovered | unknown | |\n|---|---|---|---|---|---|---|---|---|---|---|"
)


def attempts(simulator: Simulator) -> int:
    """Messages that came to the service with their content, whatever was said of them."""
    counts = simulator.counts
    return counts.accepted + counts.throttled + counts.quota_exceeded + counts.invalid


def rows(box: Path) -> list[tuple[str, str]]:
    """Key and state of each message, as the file has it."""
    with closing(sqlite3.connect(f"file:{box}?mode=ro", uri=True)) as connection:
        found = connection.execute("SELECT name, state FROM seslimit_messages").fetchall()
    connection.close()
    return [(name[name.index("k") :].strip('"'), state) for name, state in found]


def receipts(box: Path) -> list[tuple[str, str]]:
    """Key and message id of each accepted message."""
    with closing(sqlite3.connect(f"file:{box}?mode=ro", uri=True)) as connection:
        found = connection.execute("SELECT name, message_id FROM seslimit_messages WHERE state = 'accepted'").fetchall()
    connection.close()
    return [(name[name.index("k") :].strip('"'), message_id) for name, message_id in found]


def started(box: Path, url: str, ledger: Ledger, point: str = "none", nth: int = 0) -> subprocess.Popen[str]:
    """A child."""
    arguments = [str(box), url, str(ledger.count), ledger.on_unknown, point, str(nth)]
    return subprocess.Popen([sys.executable, "-m", __name__, *arguments], stdout=subprocess.PIPE, text=True, cwd=ROOT)


def at_random(kills: int, count: int, on_unknown: str, seed: int) -> Told:
    """Kill at random moments."""
    chance, ledger = random.Random(seed), Ledger(count, on_unknown)
    with tempfile.TemporaryDirectory() as folder, Simulator(5000.0, latency=0.02).in_thread() as simulator:
        box = Path(folder) / "mail.db"
        while ledger.kills < kills:
            with started(box, simulator.smtp_url, ledger) as process:
                assert process.stdout is not None
                if not process.stdout.readline():
                    break  # nothing was left
                time.sleep(chance.uniform(0, 0.3))
                process.kill()
            ledger.killed(box)
        finish(box, simulator, ledger)
        return ledger.told(box, simulator, "random moments")


def at_point(step: str, count: int, on_unknown: str, seed: int) -> Told:
    """Kill before and after a step, at its first time and at a later one."""
    chance, ledger = random.Random(seed), Ledger(count, on_unknown)
    faults = [Fault("dot", reply="451 4.3.0 Later", times=None, probability=0.2)] if step == "postpones" else []
    with (
        tempfile.TemporaryDirectory() as folder,
        Simulator(5000.0, latency=0.02, faults=faults).in_thread() as simulator,
    ):
        box = Path(folder) / "mail.db"
        for when in ("before", "after"):
            for nth in (1, chance.randint(2, 2 if step == "add" else 40)):
                with started(box, simulator.smtp_url, ledger, f"{when} {step}", nth) as process:
                    process.communicate()
                if process.returncode == -signal.SIGKILL and box.exists():
                    ledger.killed(box)
        simulator.faults.clear()
        finish(box, simulator, ledger)
        return ledger.told(box, simulator, f"before and after {step}")


def finish(box: Path, simulator: Simulator, ledger: Ledger) -> None:
    """The same once more, to its end."""
    with started(box, simulator.smtp_url, ledger) as process:
        process.communicate()
    assert process.returncode == 0


if __name__ == "__main__":
    at, url, many, unknown, where, time_ = sys.argv[1:]
    asyncio.run(child(at, url, int(many), unknown, where, int(time_)))
