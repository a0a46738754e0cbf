"""
Requests that schemathesis generates from the messenger's description, against the running messenger.

Half of them follow the description, half of them break it, a few carry no login; behind the messenger is the simulator.
Each answer has to be one that the description allows: no 5xx, nothing well-formed refused, nothing malformed taken. Run
`python -m benchmarks.messenger_fuzz --requests 2000`; it prints the answers by status.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import Case, GenerationMode
from schemathesis.core.parameters import ParameterLocation
from schemathesis.core.result import Ok

from seslimit import Limiter, transport_from_url
from seslimit.companion._address import Address
from seslimit.companion.listmonk import ListmonkMessenger, ListmonkOptions
from seslimit.testing import Simulator

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


def main() -> None:
    """Print how often each kind of request had each status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    answers = fuzz(arguments.requests, arguments.seed)
    for (kind, status), times in sorted(answers.items()):
        print(f"{kind:24} {status} {times:6,}")
    failed = sum(times for (_, status), times in answers.items() if status >= 500)
    print(f"{sum(answers.values()):,} requests, {failed} answers of 5xx")


if __name__ == "__main__":
    main()
