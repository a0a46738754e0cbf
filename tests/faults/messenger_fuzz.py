"""
Requests that schemathesis generates from the messenger's description, against the running messenger; and mutated posts.

Half of them follow the description, half of them break it, a few carry no login; behind the messenger is the simulator.
Each answer has to be one that the description allows: no 5xx, nothing well-formed refused, nothing malformed taken. Run
`python -m tests.faults.messenger_fuzz --requests 2000`; it prints the answers by status.

With `--mutated 100000`, what listmonk posts is damaged instead, in its structure and in its bytes, and filled with what
once was slow to read; reading it is a step of the event loop, whose processor time is measured, so that a busy machine
does not count. A step over 100 ms is a stall; one over a second is ended, and the post is printed. With `--http` as
well, they are posted to a running messenger, a few of them with damaged heads, and it is the turns of its event loop
that are measured.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import copy
import json
import logging
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any
from unittest import mock

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import Case, GenerationMode
from schemathesis.core.parameters import ParameterLocation
from schemathesis.core.result import Ok

from seslimit import Limiter, Message, Receipt, transport_from_url
from seslimit.companion import _logins
from seslimit.companion._address import Address
from seslimit.companion.listmonk import ListmonkMessenger, ListmonkOptions
from seslimit.companion.listmonk._content import compose
from seslimit.companion.listmonk._headers import Rules
from seslimit.companion.listmonk._messenger import IN_THREAD
from seslimit.companion.listmonk._post import BadPost, parse
from seslimit.testing import FakeTransport, Simulator
from tests.faults.companion_clients import spawned

RATE = 5000.0
LOGIN = ("listmonk", "correct horse")
SHARES = (
    ("POST /", GenerationMode.POSITIVE, 0.45),
    ("POST /", GenerationMode.NEGATIVE, 0.45),
    ("GET /health", GenerationMode.POSITIVE, 0.1),
)
"""Which requests, and which part of them all."""

SETTINGS = settings(
    deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck), derandomize=False
)


def description() -> dict[str, Any]:
    """The messenger's description of itself."""
    document: dict[str, Any] = json.loads(files("seslimit.companion.listmonk").joinpath("openapi.json").read_text())
    return document


@contextmanager
def running_messenger() -> Iterator[str]:
    """A messenger before a simulator, in a thread of its own; gives its URL."""
    opened = threading.Event()
    state: dict[str, Any] = {}

    async def serve() -> None:
        state["stop"], state["loop"] = asyncio.Event(), asyncio.get_running_loop()
        async with Simulator(RATE, ledger_limit=0) as simulator:
            options = ListmonkOptions(
                listen=Address("127.0.0.1", 0),
                root_url="https://lists.example.net",
                user=LOGIN[0],
                password=LOGIN[1],
            )
            transport = transport_from_url(simulator.smtp_url)
            messenger = ListmonkMessenger(transport, options, limiter=Limiter(RATE))
            await messenger.open()
            state["url"] = f"http://127.0.0.1:{messenger.port}"
            opened.set()
            await state["stop"].wait()
            await messenger.aclose()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    # One address makes all of the wrong logins here: schemathesis tries one behind every answer.
    with mock.patch.multiple(_logins, WAIT=0.0, LONGEST=1e9):
        thread.start()
        assert opened.wait(10)
        try:
            yield state["url"]
        finally:
            state["loop"].call_soon_threadsafe(state["stop"].set)
            thread.join()


def fuzz(count: int, number: int = 0) -> Counter[tuple[str, int]]:
    """
    Make requests, and check each answer against the description.

    Args:
        count: how many at least.
        number: of the random numbers.

    Returns:
        how often each kind of request had each status.

    Raises:
        AssertionError, FailureGroup: an answer that the description does not allow.
    """
    found = schemathesis.openapi.from_dict(description()).get_all_operations()
    operations = {each.ok().label: each.ok() for each in found if isinstance(each, Ok)}
    answers: Counter[tuple[str, int]] = Counter()
    with running_messenger() as url, requests.Session() as session:
        login = {"Authorization": f"Basic {base64.b64encode(':'.join(LOGIN).encode()).decode()}"}
        for label, mode, share in SHARES:
            kind = f"{label} {mode.value}"

            def check(case: Case[Any]) -> None:
                # A request may be broken in nothing but its login.
                headers = {} if _is_head_broken(case) else login
                response = case.call(base_url=url, session=session, headers=headers)
                answers[kind, response.status_code] += 1  # noqa: B023  # called before the next turn
                assert response.status_code < 500, (response.status_code, response.text, case.as_curl_command())
                case.validate_response(response, headers=headers)

            cases = operations[label].as_strategy(mode)
            while (left := round(count * share) - _made(answers, kind)) > 0:
                number += 1
                seed(number)(settings(SETTINGS, max_examples=left)(given(case=cases)(check)))()
    return answers


def _is_head_broken(case: Case[Any]) -> bool:
    head = case.meta.components.get(ParameterLocation.HEADER) if case.meta else None
    return head is not None and head.mode is GenerationMode.NEGATIVE


def _made(answers: Counter[tuple[str, int]], kind: str) -> int:
    return sum(times for (each, _), times in answers.items() if each == kind)


GOLDEN = Path(__file__).parent.parent / "listmonk"
STALL = 0.1
"""Seconds of processor time from which a step has kept the event loop from its other connections."""
WATCHDOG = 1.0
"""Seconds of processor time after which a step is ended."""
PUMPED = 50_000
"""Characters of the longest value: what is longer than `IN_THREAD` with all the rest is read in a thread."""
PIECES = (  # noqa: SIM905  # a list of them would be forty lines
    '<!-- -->|<!--|{{|{{ .Subscriber.UUID }}|}}|<|>|"|\\|&#9|&#9;|<a href=x>|<script>|<p hidden>|<ul><li>|=?utf-8?q?|ö|'
    "👨\u200d👩|a@b.de,|(|)|,|@|.|-|xn--|;|:|<https://x/>|charset=|name=\"|éééé|AAAA|+|/|==|cid:|'| |\t|\r\n|\0"
).split("|")
ODD: tuple[Any, ...] = (None, True, 0, 1.5, 10**30, [], {}, [[]], [{}], {"": ""}, "", "\ud800", "plain", "html", [None])


def mutated(count: int, number: int = 0) -> Iterator[bytes]:
    """
    Posts, each damaged in its own way.

    Args:
        count: how many.
        number: of the random numbers.
    """
    chance = random.Random(number)
    golden = [(GOLDEN / f"{name}.json").read_text(encoding="utf-8") for name in ("campaign", "transactional", "plain")]
    for _ in range(count):
        payload = json.loads(chance.choice(golden))
        for _ in range(chance.randint(1, 3)):
            _damage(payload, chance)
        body = bytearray(json.dumps(payload).encode())
        for _ in range(chance.choice((0, 0, 0, 0, 0, 1, 2))):
            begin = chance.randrange(len(body))
            end = begin + chance.randint(0, 20)
            body[begin:end] = chance.choice((b"", body[begin:end] * 2, bytes([chance.randrange(256)]), b'"', b"\\u"))
        yield bytes(body[:IN_THREAD])


def _damage(payload: Any, chance: random.Random) -> None:
    """Change one value, anywhere, or add one that nobody asked for."""
    place = payload
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            return
        key = chance.choice(keys)
        if not isinstance(place[key], dict | list) or not place[key] or chance.random() < 0.1:
            break
        place = place[key]
    length = chance.choice((1, 3, 30, 300)) if chance.random() < 0.95 else PUMPED
    pumped = "".join(chance.choices(PIECES, k=chance.randint(1, 3)))
    text = (pumped * length)[:PUMPED] + chance.choice(("", "x", "!", "\n", "<html", "}}", ">"))
    place[key] = chance.choice(
        (text, text, f"{place[key]}{text}", f"{text}{place[key]}", copy.deepcopy(chance.choice(ODD)))
    )
    if isinstance(place, dict) and chance.random() < 0.1:
        place[text[:80]] = place[key]


def stalls(count: int, number: int = 0) -> tuple[Counter[str], float, int]:
    """
    Read mutated posts, each as the messenger does in one step of its event loop.

    Returns:
        how often each kind of end was met; the longest step, in seconds of processor time; steps over `STALL`.
    """

    def end(number: int, frame: FrameType | None) -> None:
        raise TimeoutError

    signal.signal(signal.SIGVTALRM, end)
    ends: Counter[str] = Counter()
    longest, over = 0.0, 0
    for body in mutated(count, number):
        began_at = time.process_time()
        signal.setitimer(signal.ITIMER_VIRTUAL, WATCHDOG)
        try:
            compose(parse(body), Rules("https://lists.example.net"), "Thu, 01 Oct 2026 10:00:00 +0000")
            ends["composed"] += 1
        except BadPost:
            ends["refused"] += 1
        except TimeoutError:
            ends["ended"] += 1
            print(body[:300])
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        took = time.process_time() - began_at
        longest, over = max(longest, took), over + (took > STALL)
    return ends, longest, over


# The same over HTTP

CONNECTIONS = 8
DAMAGED_HEADS = 0.05
"""Part of the posts in whose head something is wrong as well."""
HEAD_PIECES = (
    b"\r\n",
    b" ",
    b":",
    b"\0",
    b"\xff",
    b"9",
    b"-1",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
)


class _Watched(asyncio.SelectorEventLoop):
    """An event loop that measures its turns in processor time, and ends one that lasts too long."""

    def __init__(self) -> None:
        super().__init__()
        self.longest, self.over = 0.0, 0
        signal.signal(signal.SIGVTALRM, self._end)

    def _run_once(self) -> None:
        began_at = time.thread_time()
        signal.setitimer(signal.ITIMER_VIRTUAL, WATCHDOG)
        super()._run_once()  # type: ignore[misc]
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        took = time.thread_time() - began_at
        self.longest, self.over = max(self.longest, took), self.over + (took > STALL)

    @staticmethod
    def _end(number: int, frame: FrameType | None) -> None:
        raise TimeoutError("a turn of the event loop took too long")


class _Taking(FakeTransport):
    """Takes everything, and remembers nothing of it."""

    async def send(self, message: Message) -> Receipt:
        """Take it."""
        return Receipt("taken")


def watched_messenger(pipe: Connection) -> None:
    """A messenger that answers until something comes through the pipe; then how its loop fared goes back."""
    loop = _Watched()

    async def serve() -> None:
        logging.disable(logging.CRITICAL)
        set_up = ListmonkOptions(listen=Address("127.0.0.1", 0), root_url="https://lists.example.net")
        async with ListmonkMessenger(_Taking(), set_up, limiter=Limiter(1e6, max_rate=1e6)) as messenger:
            pipe.send(messenger.port)
            told = asyncio.Event()
            loop.add_reader(pipe.fileno(), told.set)
            # What it took to begin is not asked for.
            loop.longest = loop.over = 0
            await told.wait()
            loop.remove_reader(pipe.fileno())
            pipe.send((loop.longest, loop.over, messenger.counts.accepted))

    loop.run_until_complete(serve())


def stalls_over_http(count: int, number: int = 0) -> tuple[Counter[int], float, int, int]:
    """
    Post mutated posts to a messenger in a process of its own.

    Returns:
        how often each status was answered, 0 for none; the longest turn of its event loop, in seconds of processor
        time; turns over `STALL`; messages that it counts as accepted.
    """
    with spawned(watched_messenger) as (pipe, _):
        statuses = asyncio.run(_post_all(pipe.recv(), mutated(count, number), random.Random(number)))
        pipe.send("enough")
        longest, over, accepted = pipe.recv()
    return statuses, longest, over, accepted


async def _post_all(port: int, bodies: Iterator[bytes], chance: random.Random) -> Counter[int]:
    statuses: Counter[int] = Counter()

    async def client() -> None:
        connection = None
        for body in bodies:
            head = bytearray(
                b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                % len(body)
            )
            damaged = chance.random() < DAMAGED_HEADS
            if damaged:
                begin = chance.randrange(len(head))
                head[begin : begin + chance.randrange(4)] = chance.choice(HEAD_PIECES)
            reader, writer = connection or await asyncio.open_connection("127.0.0.1", port)
            writer.write(head + body)
            if damaged and writer.can_write_eof():
                # Whatever it takes for the length: more does not come.
                writer.write_eof()
            status, kept = await _answer(reader)
            statuses[status] += 1
            connection = (reader, writer) if kept and not damaged else None
            if connection is None:
                writer.close()
        if connection is not None:
            connection[1].close()

    await asyncio.gather(*(client() for _ in range(CONNECTIONS)))
    return statuses


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bool]:
    """The status of an answer, and whether the connection goes on."""
    try:
        async with asyncio.timeout(30.0):
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])
            await reader.readexactly(length)
    except (EOFError, OSError):
        return 0, False
    return int(head[9:12]), b"connection: close" not in head and head.startswith(b"http/1.1")


def main() -> None:
    """Print how often each kind of request had each status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--mutated", type=int, default=0, metavar="POSTS")
    parser.add_argument("--http", action="store_true", help="post the mutated ones to a running messenger")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.mutated and arguments.http:
        statuses, longest, over, accepted = stalls_over_http(arguments.mutated, arguments.seed)
        told = ", ".join(f"{times:,} {status}" for status, times in sorted(statuses.items()))
        print(f"{statuses.total():,} posts over HTTP: {told}; {accepted:,} accepted")
        print(f"longest turn of the event loop {longest * 1000:.0f} ms, {over} over 100 ms")
        return
    if arguments.mutated:
        ends, longest, over = stalls(arguments.mutated, arguments.seed)
        told = ", ".join(f"{times:,} {end}" for end, times in sorted(ends.items()))
        print(f"{arguments.mutated:,} posts: {told}; longest step {longest * 1000:.0f} ms, {over} over 100 ms")
        return
    answers = fuzz(arguments.requests, arguments.seed)
    for (kind, status), times in sorted(answers.items()):
        print(f"{kind:24} {status} {times:6,}")
    failed = sum(times for (_, status), times in answers.items() if status >= 500)
    print(f"{sum(answers.values()):,} requests, {failed} answers of 5xx")


if __name__ == "__main__":
    main()
