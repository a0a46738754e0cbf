"""
seslimit beside what people use: `python -m benchmarks.peers` (or `nox -s bench`), about twenty minutes.

Every peer sends the same messages to a fresh simulator with the same hidden limit. What it counts is taken at the
simulator, so attempts that a client hides are in it. Each peer has a process of its own; where the limit leaves the
machine idle, several are at work at the same time. It writes the tables of docs/benchmarks.md, comparison.md and
moving.md, and two plots. What it does not show: a network, and how SES counts, which is not published.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import attrs
from tests.faults.simulator_process import simulated

from seslimit.testing import APIRules, Schedule
from seslimit.testing.services import DebtBucket, WithRival

from .peer_clients import PEERS, Task, has_nodemailer

DOCS = Path(__file__).parent.parent / "docs"
LATENCY = 0.02
"""Seconds before each reply of either door."""

STRAINED, WAITED = 0.85, 0.15
"""Parts of the time: the client or the service had a core, or both together waited for one. From there on what is
measured is the machine."""

AFTER_ALL = ("nodemailer pool, through the relay", "listmonk, through the messenger")
"""What moving here comes to, for those who cannot import seslimit."""

TOLD = "seslimit, SES API, told the first rate"


@attrs.frozen(kw_only=True)
class Work:
    """
    What is to be sent, and the limit that nobody is told but those who ask.

    Args:
        name: of the work, in the table.
        rate: the send rate, recipients/s, in steps of (second, rate).
        count: messages.
        depth: seconds of the rate that a bucket holds.
        counting: how the service counts, by its name in `seslimit.testing.services`.
        rival: recipients/s that another sender takes, from when, until when.
        asks: whether GetAccount answers.
        together: how many peers work at the same time, each with a service of its own.
        without: peers that are left out.
    """

    name: str
    rate: tuple[tuple[float, float], ...]
    count: int
    depth: float = 1.0
    counting: str = "bucket"
    rival: tuple[float, float, float] | None = None
    asks: bool = True
    together: int = 1
    without: tuple[str, ...] = (TOLD, *AFTER_ALL)

    def peers(self) -> list[str]:
        """Who does it."""
        return [
            peer
            for peer in PEERS
            if peer not in self.without and (has_nodemailer() or not peer.startswith("nodemailer"))
        ]

    def service(self, *, told: bool) -> dict[str, Any]:
        """The arguments of the simulator."""
        counting: Any = self.counting
        if self.rival is not None:
            rate, begin, end = self.rival
            bucket = DebtBucket(Schedule(self.rate), self.depth)
            counting = WithRival(bucket, 1 / rate, begin=begin, end=end, seed=1)
        rules = APIRules(get_account="allowed" if told else "denied", max_send_rate=self.rate[0][1])
        return {
            "rate": Schedule(self.rate),
            "depth": self.depth,
            "counting": counting,
            "latency": LATENCY,
            "api": rules,
            "ledger_limit": 0,
            "seed": 1,
        }

    def allowed(self, seconds: float) -> float:
        """Recipients that could have been had in that time: what another sender takes is his."""
        whole = Schedule(self.rate).integral(0, seconds)
        if self.rival is None:
            return whole
        rate, begin, end = self.rival
        return whole - rate * max(0.0, min(end, seconds) - begin)


NOT_HERE = (TOLD, *AFTER_ALL)
STEPS = "100, then 50, then 150/s"
RATES = (
    Work(name="1/s, one token", rate=((0, 1),), depth=0, count=25, together=5),
    Work(name="14/s", rate=((0, 14),), count=280, together=3, without=(TOLD,)),
    Work(name="200/s", rate=((0, 200),), count=2000, without=(TOLD,)),
    Work(name="500/s", rate=((0, 500),), count=2500),
)
CHANGES = (
    Work(name=STEPS, rate=((0, 100), (6, 50), (12, 150)), count=1800, asks=False, together=2, without=()),
    Work(
        name="14/s, of which another takes 7 from 6 s to 14 s", rate=((0, 14),), count=210, rival=(7, 6, 14), together=3
    ),
)
FREE = Work(name="no limit", rate=((0, 1e6),), count=800, without=(TOLD, "django-ses", "listmonk's rule", *AFTER_ALL))
FAMILY = {
    "bucket-0.1s": "a bucket of 0.1 s",
    "sliding-window": "a window that slides",
    "fixed-window": "seconds of the clock",
    "two-windows": "a window estimated from two",
    "front-ends-2": "two machines, half of it each",
    "stale-0.5s": "a count half a second old",
    "chance-1%": "1 % refused by chance",
    "refusals-cost": "refusals are charged",
}
QUICK = Work(name="100/s", rate=((0, 100),), count=300, without=(TOLD,))


@attrs.frozen
class Result:
    """What the simulator counted while a peer worked."""

    work: Work
    peer: str
    seconds: float
    accepted: int
    refused: int
    timeline: list[int]
    by_machine: bool
    """Whether it was the machine that was waited for, and not the service."""

    @property
    def lost(self) -> int:
        return self.work.count - self.accepted

    @property
    def used(self) -> float:
        """Of what was allowed while it worked."""
        return min(1.0, self.accepted / self.work.allowed(self.seconds))

    def row(self) -> str:
        mark = " †" if self.by_machine else ""
        cells = (
            f"{self.peer}{mark}",
            f"{self.seconds:.1f} s",
            str(self.lost),
            str(self.refused),
            f"{self.accepted / self.seconds:.1f}/s",
            f"{self.used:.0%}",
            str(max(self.timeline)),
        )
        return f"| {' | '.join(cells)} |"

    def short(self) -> str:
        """What matters, for a cell."""
        mark = " †" if self.by_machine else ""
        return f"{self.used:.0%}, {self.lost} lost, {self.refused} refused{mark}"


def core(pid: int) -> tuple[float, float]:
    """Seconds that the first thread of a process had a core, and seconds that it waited for one."""
    used, waited, _ = Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()
    return int(used) / 1e9, int(waited) / 1e9


def measured(work: Work, peer: str) -> Result:
    """Let a peer do the work."""
    logging.disable(logging.ERROR)
    # Those who cannot do without GetAccount may ask it; the others are not told what the work keeps from them.
    with simulated(**work.service(told=work.asks or peer == "django-ses")) as service:
        pids = (os.getpid(), service.pid)
        before, begin, cpu = [core(pid) for pid in pids], time.perf_counter(), time.process_time()
        PEERS[peer](Task(count=work.count, rate=work.rate[0][1]), service)
        seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
        after = [core(pid) for pid in pids]
        busiest = max(cpu, after[1][0] - before[1][0])
        waited = sum(later[1] - earlier[1] for earlier, later in zip(before, after, strict=True))
        counts = service.counts()
        timeline = [service.tally(second, second + 1).recipients for second in range(int(seconds) + 1)]
    by_machine = busiest > STRAINED * seconds or waited > WAITED * seconds
    return Result(work, peer, seconds, counts.accepted, counts.throttled, timeline, by_machine)


def all_of(works: Iterable[Work], together: int | None = None) -> dict[str, list[Result]]:
    """Every peer's result, by the work; printed as they come."""
    found: dict[str, list[Result]] = {}
    for work in works:
        print(f"\n{head(work)}", flush=True)
        # A process for each peer: what one has loaded or left behind is not the next one's.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(together or work.together, context, max_tasks_per_child=1) as pool:
            results = pool.map(measured, [work] * len(work.peers()), work.peers())
            found[work.name] = []
            for result in results:
                found[work.name].append(result)
                print(result.row(), flush=True)
    return found


def head(work: Work) -> str:
    return (
        f"| {work.name}: {work.count:,} messages | time | lost | refused | accepted | of what was allowed "
        "| most in a second |\n|---|---|---|---|---|---|---|"
    )


def family(together: int) -> str:
    """A row for each way to count, a column for each peer: of what was allowed, lost, refused."""
    peers = [peer for peer in Work(name="", rate=((0, 14),), count=0).peers() if peer != "boto3 legacy"]
    works = [
        Work(name=words, rate=((0, 14),), count=168, counting=name, without=(*NOT_HERE, "boto3 legacy"))
        for name, words in FAMILY.items()
    ]
    lines = [f"| 14/s, 168 messages | {' | '.join(peers)} |", "|---" * (len(peers) + 1) + "|"]
    for name, results in all_of(works, together).items():
        lines.append(f"| {name} | {' | '.join(result.short() for result in results)} |")
    return "\n".join(lines)


def comparison(found: Mapping[str, list[Result]]) -> str:
    """The short table: a row for each peer, a column for each work."""
    cells = {(result.peer, name): f"{result.used:.0%}, {result.lost} lost" for name in found for result in found[name]}
    lines = [f"| | {' | '.join(found)} |", "|---" * (len(found) + 1) + "|"]
    there = [peer for peer in PEERS if any((peer, name) in cells for name in found)]
    lines += [f"| {peer} | {' | '.join(cells.get((peer, name), '') for name in found)} |" for peer in there]
    return "\n".join(lines)


MOVING = {
    "boto3": ("boto3 legacy", "boto3 standard", "boto3 adaptive", "seslimit, SES API"),
    "django-ses": ("django-ses", "seslimit, SES API"),
    "aiolimiter": ("aiolimiter + backoff + aiosmtplib", "seslimit, SMTP"),
    "nodemailer": ("nodemailer pool", "nodemailer pool, through the relay"),
    "listmonk": ("listmonk's rule", "listmonk, through the messenger"),
}
"""Before and after, for each section of moving.md."""


def moving(found: Mapping[str, list[Result]], peers: tuple[str, ...]) -> str:
    names = [name for name in found if all(any(each.peer == peer for each in found[name]) for peer in peers)]
    lines = [f"| | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for peer in peers:
        by_name = {name: next(each for each in found[name] if each.peer == peer) for name in names}
        lines.append(f"| {peer} | {' | '.join(each.short() for each in by_name.values())} |")
    return "\n".join(lines)


def plots(found: Mapping[str, list[Result]]) -> None:
    """Accepted recipients a second while the limit changes, and what each rate came to."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "seslimit", "svg.fonttype": "none", "font.size": 9})
    if STEPS in found:
        _steps_plot(found[STEPS], DOCS / "benchmarks.svg")
    if all(work.name in found for work in RATES):
        _rates_plot([found[work.name] for work in RATES], DOCS / "benchmarks-rates.svg")


def _steps_plot(results: list[Result], path: Path) -> None:
    from matplotlib import pyplot

    work = results[0].work
    figure, axes = pyplot.subplots(len(results), 1, figsize=(8, 1.45 * len(results)), sharex=True, sharey=True)
    end = max(len(result.timeline) for result in results)
    edges = [second for second, _ in work.rate] + [float(end)]
    for result, axis in zip(results, axes, strict=True):
        axis.stairs(result.timeline, fill=True, color="#3b76af", alpha=0.85)
        axis.stairs([rate for _, rate in work.rate], edges, baseline=None, color="#c23b22", linewidth=1.4)
        axis.set_title(
            f"{result.peer}: {result.seconds:.0f} s, {result.lost} lost, {result.refused} refused",
            loc="left",
            fontsize=9,
        )
        axis.set_ylabel("accepted/s")
        axis.spines[["top", "right"]].set_visible(False)
    axes[-1].set_xlabel("seconds; the red line is the hidden limit")
    axes[-1].set_xlim(0, end)
    axes[-1].set_ylim(0, 320)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def _rates_plot(groups: list[list[Result]], path: Path) -> None:
    from matplotlib import pyplot

    peers = [peer for peer in PEERS if all(any(each.peer == peer for each in group) for group in groups)]
    figure, axes = pyplot.subplots(1, len(groups), figsize=(9, 0.34 * len(peers) + 1.1), sharey=True)
    for group, axis in zip(groups, axes, strict=True):
        by_peer = {each.peer: each for each in group}
        for place, peer in enumerate(reversed(peers)):
            result = by_peer[peer]
            lost = result.lost / result.work.count
            axis.barh(place + 0.18, result.used, 0.36, color="#3b76af")
            axis.barh(place - 0.18, lost, 0.36, color="#c23b22")
        axis.set_title(group[0].work.name.partition(",")[0], loc="left", fontsize=9)
        axis.set_xlim(0, 1)
        axis.set_xticks([0, 0.5, 1], ["0", "50 %", "100 %"])
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_yticks(range(len(peers)), list(reversed(peers)))
    figure.supxlabel("blue: of what was allowed while it worked; red: of the messages, lost", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def written(page: Path, name: str, text: str) -> None:
    """Put a text between the markers of a page."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    before, found, rest = page.read_text(encoding="utf-8").partition(begin)
    if not found:
        raise SystemExit(f"{page.name} has no place for {name}.")
    _, _, after = rest.partition(end)
    page.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", default="", help="works whose names hold this; of the pages, only their tables change"
    )
    parser.add_argument("--quick", action="store_true", help="a little work, and nothing is written")
    parser.add_argument(
        "--together", type=int, default=8, help="peers at the same time, where a service of 14/s counts otherwise"
    )
    arguments = parser.parse_args()
    if arguments.quick:
        all_of([QUICK])
        return
    works = [work for work in (*RATES, *CHANGES, FREE) if arguments.only in work.name]
    found = all_of(works)
    for work in works:
        written(DOCS / "benchmarks.md", work.name, "\n".join([head(work), *(each.row() for each in found[work.name])]))
    if arguments.only in "family":
        written(DOCS / "benchmarks.md", "family", family(arguments.together))
    plots(found)
    if not arguments.only:
        compared = {name: results for name, results in found.items() if name != FREE.name}
        written(DOCS / "comparison.md", "figures", comparison(compared))
        for name, peers in MOVING.items():
            written(DOCS / "moving.md", name, moving(compared, peers))


if __name__ == "__main__":
    main()
