"""
One account, many processes: `python -m benchmarks.sharing [--only PART] [--seconds S] [--faults N] [--seeds N]`.

The law's figures (`virtual`) come from limiters that share a ledger half a millisecond away, each with a sender of its
own, on virtual time: they are the same on every machine. `redis` and `host` start four operating-system processes that
share a real Redis, or a file, and send to a service that this process keeps: a debt bucket of 0.2 s behind a datagram
socket. `faults` kills, freezes, empties and fails over the Redis under them, and holds, breaks and removes the file;
`workers` freezes and kills the processes themselves. `storms` is the same on virtual time, for many seeds, with
processes that are cut off alone. What the machine cannot bear (2,000 messages/s and four processes on a busy core)
shows in the runs of real processes, and in nothing else.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import random
import signal
import subprocess
import sys
import tempfile
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import attrs
from tests.fleet import Fleet, VirtualStore, account, within
from tests.redis_instance import RedisServer
from tests.virtual_time import run

from seslimit import Limiter, Outcome, TransportError
from seslimit.shared import shared_from_url
from seslimit.testing.services import DebtBucket

WORKERS = 4
DEPTH = 0.2
"""Seconds of the rate that the real runs' service saves up."""

WARM_UP = 3.0
"""Seconds that the figures of the real runs leave out: processes start one after another."""

FAULT = 4.0
"""Seconds from one fault to the next."""

broken = 0


def row(name: str, figure: str, promised: str, kept: bool) -> None:
    """Print one line of the table."""
    global broken
    broken += not kept
    print(f"| {name} | {figure} | {promised} | {'' if kept else '**broken**'} |", flush=True)


def figures(
    name: str, fleet: Fleet, begin: float, end: float, *, used: float, refused: float, first: float | None = None
) -> None:
    """The figures of a run on virtual time."""
    share = fleet.used(begin, end)
    row(name, f"used {share:.2%}", f"≥ {used:.0%}", share >= used)
    throttled = fleet.refused(begin if first is None else first, end)
    row(name, f"refused {throttled:.2%}", f"≤ {refused:.1%}", throttled <= refused)
    least = min(fleet.shares(begin, end))
    row(name, f"least share {least:.1%}", f"≥ {0.8 / fleet.count:.0%}", least >= 0.8 / fleet.count)


def virtual() -> None:
    """The law's figures."""
    for rate in (100, 500, 2000):
        store = VirtualStore()
        fleet = Fleet(account(rate, DEPTH), store=store, cap=rate)
        run(fleet.run(12))
        name = f"{rate}/s known, 4 processes"
        figures(name, fleet, 2, 12, used=0.99, refused=0.001, first=0)
        peak = fleet.peak(2, 12) / rate
        row(name, f"busiest second {peak:.3f} R", "≤ 1.05 R", peak <= 1.05)
        calls = within(store.calls, 2, 12) / 10
        row(name, f"{calls:.0f} requests/s", "≤ 60", calls <= 60)
    for rate in (100, 500):
        fleet = Fleet(account(rate), store=VirtualStore())
        run(fleet.run(60))
        figures(f"{rate}/s hidden, 4 processes", fleet, 15, 60, used=0.98, refused=0.006)
    for before, after, reached in ((200, 100, 14), (100, 200, 33)):
        fleet = Fleet(account(((0, float(before)), (10 if before > after else 20, float(after)))), store=VirtualStore())
        fleet.told = before
        run(fleet.run(46))
        figures(f"{before} → {after}/s, 4 processes", fleet, reached, 46, used=0.97, refused=0.02)
    fleet = Fleet(account(100), count=10, store=VirtualStore(), starts=1.0)
    run(fleet.run(60))
    figures("10 cold processes in a second, 100/s hidden", fleet, 15, 60, used=0.98, refused=0.01, first=0)
    apart = [Fleet(account(100), seed=seed) for seed in range(4)]
    for fleet in apart:
        run(fleet.run(180))
    name = "100/s hidden, 4 processes that share nothing, 4 runs of 3 minutes"
    least = min(fleet.used(15, 180) for fleet in apart)
    row(name, f"used {least:.2%}", "≥ 98%", least >= 0.98)
    refused = [fleet.refused(15, 180) for fleet in apart]
    row(name, f"refused at most {max(refused):.2%}", "≤ 0.8%", max(refused) <= 0.008)
    first, rest = (max(fleet.refused(*part) for fleet in apart) for part in ((15, 60), (60, 180)))
    row(name, f"of that in the first minute {first:.2%}, later {rest:.2%}", "", True)
    for count in (1, 4):
        waits, campaign = run(lanes(count))
        name = f"lanes at 50/s, {count} process{'es' if count > 1 else ''}"
        late = sorted(waits)[len(waits) * 99 // 100 - 1]
        row(name, f"99 % of transactional mail within {late * 1000:.0f} ms", "≤ 100 ms", late <= 0.1)
        row(name, f"campaign keeps {campaign:.1f}/s of 45", "≥ 44", campaign >= 44)


async def lanes(count: int) -> tuple[list[float], float]:
    """Five transactional messages a second beside a campaign that saturates 50/s."""
    loop = asyncio.get_running_loop()
    store = VirtualStore() if count > 1 else None
    limiters = [Limiter(50, max_rate=50, shared=store) for _ in range(count)]
    for limiter in limiters:
        limiter.lane("transactional", priority=1)
    waits: list[float] = []
    sent = 0

    async def campaign(limiter: Limiter) -> None:
        nonlocal sent
        while loop.time() < 60:
            async with limiter.admit():
                sent += loop.time() >= 1

    async def transactional() -> None:
        for number in range(290):
            await asyncio.sleep(0.2)
            begun = loop.time()
            async with limiters[number % count].admit(lane="transactional"):
                waits.append(loop.time() - begun)

    await asyncio.gather(*(campaign(limiter) for limiter in limiters for _ in range(5)), transactional())
    for limiter in limiters:
        await limiter.aclose()
    return waits, sent / 59


def storm(seed: int, count: int) -> Callable[[Fleet], object]:
    """Faults at random moments: the ledger killed, frozen, emptied, failed over, or out of reach for one process."""

    def plan(four: Fleet) -> None:
        loop, rng, store = asyncio.get_running_loop(), random.Random(seed), four.store
        assert store is not None

        def fault() -> None:
            lasts = rng.uniform(0.2, 1.5)
            match rng.randrange(5):
                case 0:
                    store.away_until = loop.time() + lasts
                case 1:
                    store.frozen_until = loop.time() + lasts
                case 2:
                    store.away_until = loop.time() + lasts
                    store.empty()
                case 3:  # a replica that has not seen the last writes
                    loop.call_later(lasts / 3.0, setattr, store, "ledger", store.copy())
                    loop.call_later(lasts / 3.0, setattr, store, "away_until", loop.time() + lasts / 3.0 + 0.1)
                case _:
                    four.ways[rng.randrange(four.count)].cut_until = loop.time() + 2.0 * lasts

        at = 4.0
        for _ in range(count):
            loop.call_at(at, fault)
            at += rng.uniform(2.0, 5.0)

    return plan


def storms(seeds: int, count: int) -> None:
    """So many runs with so many faults each: the worst second, and the longest wait, of all."""
    seconds = 4.0 + 3.5 * count + 6.0
    peaks, waits, used, refused, lost = [], [], [], [], 0
    logging.disable(logging.WARNING)
    for seed in range(seeds):
        rate = (100.0, 200.0, 500.0)[seed % 3]
        fleet = Fleet(account(rate, DEPTH), store=VirtualStore(seed), cap=rate, seed=seed)
        run(fleet.run(seconds, storm(seed, count)))
        peaks.append(fleet.busiest(2, seconds) / rate)
        used.append(fleet.used(4, seconds - 1))
        refused.append(fleet.refused(0, seconds))
        lost += fleet.lost
        waits.append(fleet.longest_wait(2.0, seconds - 1.0))
    logging.disable(logging.NOTSET)
    name = f"{seeds} storms of {count} faults, 100-500/s, 4 processes"
    row(name, f"busiest second {max(peaks):.3f} R", "≤ 1.05 R", max(peaks) <= 1.05)
    row(name, f"longest wait {max(waits) * 1000:.0f} ms", "≤ 300 ms", max(waits) <= 0.3)
    row(name, f"used {min(used):.1%}", "", True)
    row(name, f"refused {max(refused):.2%}", "≤ 0.1 %", max(refused) <= 0.001)
    row(name, f"lost {lost}", "0", lost == 0)


# Real processes.


@attrs.define(eq=False)
class Service(asyncio.DatagramProtocol):
    """A debt bucket behind a datagram socket."""

    bucket: DebtBucket
    times: list[tuple[float, str]] = attrs.field(factory=list)
    """When a message of a process that was accepted had been sent."""
    refused: int = 0
    began: float = attrs.field(factory=time.monotonic)
    _transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, address: object) -> None:
        """Decide on a message."""
        number, worker, sent = data.decode().split()
        taken = self.bucket.take(time.monotonic() - self.began, 1)
        if taken:
            # When it was sent: on a busy machine this process reads late what came in time, all at once.
            self.times.append((float(sent) - self.began, worker))
        else:
            self.refused += 1
        assert self._transport is not None
        self._transport.sendto(f"{number} {int(taken)}".encode(), address)  # type: ignore[arg-type]


class Client(asyncio.DatagramProtocol):
    """Sends messages and waits for the answers."""

    def __init__(self) -> None:
        self.answers: dict[str, asyncio.Future[bool]] = {}

    def datagram_received(self, data: bytes, address: object) -> None:
        """An answer."""
        number, taken = data.decode().split()
        self.answers.pop(number).set_result(taken == "1")


async def worker(name: str, address: str, rate: float, port: int, seconds: float) -> None:
    """One process: sends as much as it may, and says at the end what it saw."""
    loop = asyncio.get_running_loop()
    transport, client = await loop.create_datagram_endpoint(Client, remote_addr=("127.0.0.1", port))
    limiter = Limiter(rate, max_rate=rate, shared=shared_from_url(address))
    ends, number, gaps, before, lost, accepted = loop.time() + seconds, 0, [0.0], 0.0, 0, 0
    late = 0.0

    async def look() -> None:
        nonlocal late
        while True:
            due = loop.time() + 0.01
            await asyncio.sleep(0.01)
            late = max(late, loop.time() - due)

    async def attempts() -> None:
        nonlocal number, before, lost, accepted
        while loop.time() < ends:
            with contextlib.suppress(TransportError):
                async with limiter.admit():
                    now = loop.time()
                    if before > ends - seconds + WARM_UP:
                        gaps.append(now - before)
                    before, number = now, number + 1
                    answer = client.answers[str(number)] = loop.create_future()
                    transport.sendto(f"{number} {name} {time.monotonic()}".encode())
                    if not await asyncio.wait_for(answer, 5.0):
                        raise TransportError(
                            Outcome.THROTTLED, "454 Throttling failure: Maximum sending rate exceeded."
                        )
                    accepted += 1

    looking = asyncio.create_task(look())
    results = await asyncio.gather(*(attempts() for _ in range(20)), return_exceptions=True)
    looking.cancel()
    lost += sum(isinstance(result, BaseException) for result in results)
    await limiter.aclose()
    transport.close()
    print(json.dumps({"gap": max(gaps), "late": late, "lost": lost, "accepted": accepted}))


async def real(
    name: str,
    address: str,
    rate: float,
    seconds: float,
    chaos: Callable[[], None] | None = None,
    chaos_of: Callable[[list[asyncio.subprocess.Process]], None] | None = None,
) -> None:
    """Four processes at a known rate; `chaos` is done to what they share, `chaos_of` to themselves."""
    loop = asyncio.get_running_loop()
    service = Service(DebtBucket(rate, depth=DEPTH))
    transport, _ = await loop.create_datagram_endpoint(lambda: service, local_addr=("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    command = [sys.executable, "-m", "benchmarks.sharing", "--worker", address, str(rate), str(port), str(seconds)]
    processes = [
        await asyncio.create_subprocess_exec(*command, f"w{number}", stdout=subprocess.PIPE)
        for number in range(WORKERS)
    ]
    faults = loop.run_in_executor(None, chaos) if chaos else None
    if chaos_of is not None:
        faults = loop.run_in_executor(None, chaos_of, processes)
    outputs = [(await process.communicate())[0] for process in processes]
    told = [json.loads(output) for output in outputs if output]  # who was killed says nothing
    if faults is not None:
        await faults
    transport.close()
    begin, end = service.times[0][0] + WARM_UP, service.times[0][0] + seconds - 1.0
    times = sorted((at, worker) for at, worker in service.times if begin <= at < end)
    moments = [at for at, _ in times]
    used = len(times) / rate / (end - begin)
    peak = max(bisect_right(moments, at + 1.0) - index for index, at in enumerate(moments)) / rate
    refused = service.refused / (len(service.times) + service.refused)
    least = min(sum(worker == f"w{number}" for _, worker in times) for number in range(WORKERS)) / len(times)
    if chaos_of is not None:
        row(name, f"used {used:.2%}", "", True)
    elif chaos is None:
        row(name, f"used {used:.2%}", "≥ 99 %", used >= 0.99)
        row(name, f"least share {least:.1%}", "≥ 20 %", least >= 0.2)
    else:
        row(name, f"used {used:.2%}", "", True)
        gap = max(one["gap"] for one in told)
        stood = max(one["late"] for one in told)
        words = f"longest wait {gap * 1000:.0f} ms (the machine stood still for {stood * 1000:.0f} ms)"
        row(name, words, "≤ 300 ms", gap <= 0.3)
    row(name, f"busiest second {peak:.3f} R", "≤ 1.05 R", peak <= 1.05)
    row(name, f"refused {refused:.3%}", "≤ 0.1 %", refused <= 0.001)
    lost = sum(one["lost"] for one in told)
    if len(told) == WORKERS:
        lost += abs(sum(one["accepted"] for one in told) - len(service.times))
    row(name, f"lost {lost}", "0", lost == 0)


def calls(server: RedisServer) -> int:
    """Scripts that the server has run."""
    return sum(
        int(line.split("calls=")[1].split(",")[0])
        for line in server.info("commandstats").splitlines()
        if line.startswith(("cmdstat_evalsha:", "cmdstat_eval:"))
    )


class Proxy:
    """What a name that is moved from one Redis to another is for its clients."""

    def __init__(self, target: int) -> None:
        self.target = target
        self._open: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hand on, both ways."""
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.close()
            return
        self._open |= {writer, back}
        await asyncio.gather(self._copy(reader, back), self._copy(there, writer))
        self._open -= {writer, back}

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()

    def move(self, target: int) -> None:
        """Lead to another one from now on."""
        self.target = target
        for writer in self._open:
            writer.close()


async def faults(rate: float, count: int) -> None:
    """The Redis under four processes is killed, frozen, emptied and failed over, in turn."""
    loop = asyncio.get_running_loop()
    with RedisServer() as first, RedisServer() as second:
        proxy = Proxy(first.port)
        server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        rng = random.Random(1)

        def chaos() -> None:
            current, other = first, second
            time.sleep(WARM_UP + 1.0)
            for number in range(count):
                match number % 4:
                    case 0:
                        current.kill()
                        time.sleep(rng.uniform(0.2, 1.5))
                        current.start()
                    case 1:
                        current.freeze()
                        time.sleep(rng.uniform(0.2, 1.5))
                        current.thaw()
                    case 2:
                        current.restart_empty()
                    case _:
                        other.command("REPLICAOF", "127.0.0.1", str(current.port))
                        time.sleep(1.0)
                        current.kill()
                        other.command("REPLICAOF", "NO", "ONE")
                        loop.call_soon_threadsafe(proxy.move, other.port)
                        current.start()
                        current, other = other, current
                time.sleep(FAULT * rng.uniform(0.5, 1.0))

        seconds = WARM_UP + 2.0 + count * (FAULT + 1.2)
        await real(f"{count} faults of Redis, {rate:g}/s", f"redis://127.0.0.1:{port}/0", rate, seconds, chaos)
        server.close()


async def host_faults(rate: float, count: int) -> None:
    """The file under four processes is held by somebody who stands still, damaged, and removed, in turn."""
    rng = random.Random(2)
    with somewhere("host") as (address, _):
        path = Path(address.removeprefix("host:"))

        def chaos() -> None:
            import fcntl

            time.sleep(WARM_UP + 1.0)
            for number in range(count):
                match number % 3:
                    case 0:
                        with path.open("rb") as file:
                            fcntl.flock(file, fcntl.LOCK_EX)
                            time.sleep(rng.uniform(0.2, 1.5))
                    case 1:
                        path.write_bytes(b"         512{not what it was")
                    case _:
                        path.unlink()
                time.sleep(FAULT * rng.uniform(0.5, 1.0))

        await real(f"{count} faults of the file, {rate:g}/s", address, rate, WARM_UP + 2.0 + count * 3.7, chaos)


async def worker_faults(kind: str, rate: float, count: int) -> None:
    """Of four processes some are frozen for a while, and in the end one is killed."""
    rng = random.Random(3)

    def chaos_of(processes: list[asyncio.subprocess.Process]) -> None:
        time.sleep(WARM_UP + 1.0)
        for _ in range(count - 1):
            process = rng.choice(processes)
            process.send_signal(signal.SIGSTOP)
            time.sleep(rng.uniform(0.05, 2.0))
            process.send_signal(signal.SIGCONT)
            time.sleep(FAULT * rng.uniform(0.25, 0.5))
        processes[0].send_signal(signal.SIGKILL)

    seconds = WARM_UP + 6.0 + count * 2.5
    with somewhere(kind) as (address, _):
        name = f"{kind}, {rate:g}/s, {count} freezes and a kill of processes"
        await real(name, address, rate, seconds, chaos_of=chaos_of)


@contextlib.contextmanager
def somewhere(kind: str) -> Iterator[tuple[str, RedisServer | None]]:
    """An empty ledger."""
    if kind == "host":
        with tempfile.TemporaryDirectory() as directory:
            yield f"host:{Path(directory)}/ledger", None
    else:
        with RedisServer() as server:
            yield server.url, server


def real_rates(kind: str, arguments: argparse.Namespace) -> None:
    """What four real processes reach at each rate."""
    for rate in arguments.rates:
        with somewhere(kind) as (address, server):
            name = f"{kind}, {rate:g}/s, 4 real processes"
            asyncio.run(real(name, address, rate, arguments.seconds))
            if server is not None:
                asked = calls(server) / arguments.seconds
                row(name, f"{asked:.0f} requests/s", "≤ 60", asked <= 60)


async def real_faults(count: int) -> None:
    """What happens to what they share."""
    await faults(100.0, count)
    await host_faults(100.0, count)


async def real_workers(count: int) -> None:
    """What happens to the processes themselves."""
    for kind in ("redis", "host"):
        await worker_faults(kind, 100.0, count)


PARTS: dict[str, Callable[[argparse.Namespace], None]] = {
    "virtual": lambda _: virtual(),
    "storms": lambda arguments: storms(arguments.seeds, arguments.faults),
    "redis": lambda arguments: real_rates("redis", arguments),
    "host": lambda arguments: real_rates("host", arguments),
    "faults": lambda arguments: asyncio.run(real_faults(arguments.faults)),
    "workers": lambda arguments: asyncio.run(real_workers(arguments.faults)),
}
"""What can be measured, by the name that `--only` takes."""


def main() -> None:
    """Print the table; the exit status says whether everything promised is kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=list(PARTS))
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each real run")
    parser.add_argument("--faults", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=6, help="storms on virtual time")
    parser.add_argument("--rates", type=float, nargs="+", default=[100.0, 500.0, 2000.0])
    parser.add_argument("--worker", nargs=5, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        address, rate, port, seconds, name = arguments.worker
        asyncio.run(worker(name, address, float(rate), int(port), float(seconds)))
        return
    print("| run | figure | promised | |\n|---|---|---|---|")
    for part, measures in PARTS.items():
        if arguments.only in (None, part):
            measures(arguments)
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
