"""Settings of the whole suite."""

from __future__ import annotations

import gc
import os
import random
import re
import sys
from collections.abc import Generator, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from botocore.loaders import JSONFileLoader
from hypothesis import settings

# The definitions of the scenarios are shared with the benchmarks.
sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.postgres_instance import postgres_server, postgres_url
from tests.redis_instance import redis_server, redis_url
from tests.relay_tls import authority, certificate, client_tls

__all__ = [
    "authority",
    "certificate",
    "client_tls",
    "postgres_server",
    "postgres_url",
    "redis_server",
    "redis_url",
]

# No deadline, since nothing here measures speed, and the same examples in every run: a failure is one of the change.
# `nox -s long` draws others, and many more.
settings.register_profile("suite", deadline=None, derandomize=True, max_examples=50)
settings.register_profile("long", deadline=None, max_examples=1000, print_blob=True)
settings.load_profile("suite")

ONCE = re.compile(r"^pytestmark = .*\bpytest\.mark\.once\b", re.MULTILINE)
"""What a file says whose tests no interpreter changes."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not even import a file none of whose tests would be chosen: it costs each process as much as many tests."""
    if config.option.markexpr != "not once" or collection_path.suffix != ".py":
        return None
    return True if ONCE.search(collection_path.read_text(encoding="utf-8")) else None


# What is imported and collected stays to the end: looking for garbage in it, then and in each test, finds nothing.
gc.disable()


def pytest_collection_finish() -> None:
    """Look for garbage from here on, and only in what is new."""
    gc.enable()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _models_read_once() -> Iterator[None]:
    """Every client of AWS's reads the same service model from disk, a third of what many tests compute: keep it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JSONFileLoader, "load_file", staticmethod(cache(JSONFileLoader().load_file)))
        yield


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Begin each test with the same random numbers: the jitter of a backoff is drawn from the global ones."""
    random.seed(0)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let a skipped test fail where `SESLIMIT_NO_SKIPS` is 1: where everything is installed, none has a reason."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("SESLIMIT_NO_SKIPS") == "1":
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"SESLIMIT_NO_SKIPS=1, and this test was skipped: {reason}"
    return report
