"""
The live page left open: `python -m benchmarks.page` for an hour, `--minutes 5` for a look.

`seslimit send - --web` sends to a simulator at a steady rate, one message in a hundred throttled and one in a hundred
refused for good, and headless Chromium has its page open at ten minutes with the table unfolded, which is the most that
it can show. Once a minute both are looked at: what JavaScript holds and how many nodes there are, after garbage was
collected; the memory of the renderer and of the program that sends, as the kernel tells it (RSS); and how often the
page was drawn anew. Growth is from the least of the first looks after the tenth minute, from when on the page holds as
much as it ever will, to the least of as many last ones: what a drawing has just replaced is not always collected yet.
At the end the page is opened afresh a few times, for its first paint.

What it does not show: a page that somebody moves a pointer over, and other browsers.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
from tests.browser import Tab, opened
from tests.faults.simulator_process import simulated

from seslimit.testing import Fault

SETTLED = 11
"""Minutes until the page holds its ten."""

FAULTS = [
    Fault("dot", reply="454 Throttling failure: Maximum sending rate exceeded.", times=None, probability=0.01),
    Fault("dot", reply="554 Message rejected: Email address is not verified", times=None, probability=0.01),
]

COUNT_DRAWINGS = """
document.getElementById("s600").click();
document.getElementById("values").open = true;
window.drawings = 0;
new MutationObserver(() => { window.drawings++; }).observe(document.getElementById("p-rate"), {childList: true});
"""

ALLOWED = {"heap": 0.1, "nodes": 20.0, "renderer": 5.0, "sender": 2.0}
"""What may be the growth and still be called flat: MiB, and nodes."""


@attrs.frozen
class Look:
    """What there was at one time."""

    minute: float
    heap: float
    """MiB that JavaScript holds, after garbage was collected."""
    nodes: int
    listeners: int
    drawings: int
    """How often the plot of the rate was drawn since the last look."""
    age: float
    """Seconds since the youngest second that is shown."""
    renderer: float
    """MiB."""
    sender: float
    """MiB."""

    def row(self) -> str:
        return (
            f"| {self.minute:.0f} | {self.heap:.2f} | {self.nodes} | {self.listeners} | {self.drawings} "
            f"| {self.age:.1f} s | {self.renderer:.1f} | {self.sender:.1f} |"
        )


HEAD = (
    "| minute | JavaScript, MiB | nodes | listeners | drawn | age | renderer, MiB | sender, MiB |\n"
    "|---|---|---|---|---|---|---|---|"
)


def resident(pid: int) -> float:
    """MiB of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def renderer() -> int:
    """The process that draws: the largest renderer among this process's descendants."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])

    def ours(pid: int) -> bool:
        while pid > 1 and pid != os.getpid():
            pid = parents.get(pid, 0)
        return pid == os.getpid()

    drawing = [pid for pid in parents if ours(pid) and b"--type=renderer" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return max(drawing, key=resident)


def lines() -> Iterator[bytes]:
    """Messages without end."""
    number = 0
    while True:
        number += 1
        message = {"key": number, "from": "news@example.org", "to": ["ada@example.net"], "subject": "x", "text": "Hi"}
        yield json.dumps(message).encode() + b"\n"


@asynccontextmanager
async def sending(to: str, rate: float) -> AsyncIterator[tuple[Process, str]]:
    """A program that sends what it reads, and the address of its page."""
    command = ("-m", "seslimit", "send", "-", "--to", to, "--rate", f"{rate:g}", "--web", "127.0.0.1:0")
    process = await asyncio.create_subprocess_exec(sys.executable, *command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL)
    assert process.stdin is not None
    assert process.stdout is not None
    writing, saying = process.stdin, process.stdout

    async def feed() -> None:
        for line in lines():
            writing.write(line)
            await writing.drain()

    async def listen() -> None:
        while await saying.read(65_536):
            pass

    feeding = asyncio.create_task(feed())
    try:
        said = b""
        async with asyncio.timeout(60):
            while not (found := re.search(rb"Live page: (\S+)", said)):
                said += await saying.readline()
        listening = asyncio.create_task(listen())
        yield process, found[1].decode()
        feeding.cancel()
        process.terminate()
        await listening
    finally:
        feeding.cancel()
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await process.wait()


async def look(tab: Tab, minute: float, drawing: int, sender: int) -> Look:
    """Look at everything once."""
    for _ in range(2):
        await tab.call("HeapProfiler.collectGarbage")
    heap = (await tab.call("Runtime.getHeapUsage"))["usedSize"] / 2**20
    metrics = {each["name"]: each["value"] for each in (await tab.call("Performance.getMetrics"))["metrics"]}
    drawings, age = await tab.value("[drawings, Date.now() / 1000 - seconds.at(-1)[AT]]")
    await tab.value("drawings = 0")
    return Look(
        minute=minute,
        heap=heap,
        nodes=int(metrics["Nodes"]),
        listeners=int(metrics["JSEventListeners"]),
        drawings=drawings,
        age=age,
        renderer=resident(drawing),
        sender=resident(sender),
    )


async def first_paint(tab: Tab) -> float:
    """Milliseconds until something was to be seen."""
    await tab.until("performance.getEntriesByName('first-contentful-paint').length > 0")
    return float(await tab.value("performance.getEntriesByName('first-contentful-paint')[0].startTime"))


def growth(looks: list[Look], what: str) -> float:
    """From the least of the first quarter of the looks to the least of the last."""
    some = max(1, len(looks) // 4)
    return float(min(getattr(each, what) for each in looks[-some:]) - min(getattr(each, what) for each in looks[:some]))


async def run(minutes: int, rate: float) -> None:
    with simulated(rate=rate, faults=FAULTS, seed=1, ledger_limit=0) as simulator:
        async with sending(simulator.smtp_url, rate) as (sender, url):
            async with opened(url) as tab:
                painted = [await first_paint(tab)]
                await tab.call("Performance.enable")
                await tab.until("seconds.length > 2")
                await tab.call("Runtime.evaluate", expression=COUNT_DRAWINGS)
                drawing, begun = renderer(), time.monotonic()
                print(HEAD, flush=True)
                looks: list[Look] = []
                for minute in range(1, minutes + 1):
                    await asyncio.sleep(begun + minute * 60 - time.monotonic())
                    looks.append(await look(tab, minute, drawing, sender.pid))
                    print(looks[-1].row(), flush=True)
                said = tab.said
            for _ in range(5):
                async with opened(url) as tab:
                    painted.append(await first_paint(tab))
    settled = [each for each in looks if each.minute >= SETTLED] or looks
    print("\n| | at the end | growth | |\n|---|---|---|---|")
    for what, allowed in ALLOWED.items():
        grown = growth(settled, what)
        verdict = "flat" if abs(grown) <= allowed else "grows" if grown > 0 else "shrinks"
        print(f"| {what} | {getattr(looks[-1], what):.2f} | {grown:+.3f} | {verdict} |")
    drawn = [each.drawings for each in looks]
    print(f"\nDrawn {min(drawn)} to {max(drawn)} times a minute, {sum(drawn) / len(drawn):.1f} in the mean.")
    print(f"First paint: {', '.join(f'{each:.0f}' for each in painted)} ms; the first of them in the first page.")
    print(f"The browser complained of: {said or 'nothing'}.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--rate", type=float, default=50.0)
    options = parser.parse_args()
    asyncio.run(run(options.minutes, options.rate))


if __name__ == "__main__":
    main()
