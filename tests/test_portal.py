"""The way from threads into one event loop: what passes through it, and what becomes of it when a process forks."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextvars import ContextVar
from typing import NoReturn

import pytest

from seslimit._portal import Caller, Portal

VARIABLE: ContextVar[str] = ContextVar("variable", default="")


@pytest.fixture
def portal() -> Iterator[Portal]:
    """A portal of the test's own, closed after it."""
    with Portal("test") as made:
        yield made


def in_a_process(script: str) -> str:
    """What a program prints that must end well, without a warning."""
    command = [sys.executable, "-W", "error", "-c", script]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


async def thread_name() -> str:
    """The name of the thread that runs this."""
    return threading.current_thread().name


def test_there_is_no_thread_before_the_first_call_and_none_after_closing() -> None:
    """Making a portal costs nothing; calls share one thread."""
    before = threading.active_count()
    portal = Portal("test")
    assert threading.active_count() == before
    assert {portal.call(thread_name), portal.call(thread_name)} == {"test"}
    assert threading.active_count() == before + 1
    portal.close()
    portal.close()
    assert threading.active_count() == before


def test_results_and_exceptions_pass_through(portal: Portal) -> None:
    """The very objects."""
    error = ValueError("this one")

    async def fail() -> NoReturn:
        raise error

    async def add(left: int, *, right: int) -> int:
        await asyncio.sleep(0)
        return left + right

    assert portal.call(add, 1, right=2) == 3
    with pytest.raises(ValueError, match="this one") as raised:
        portal.call(fail)
    assert raised.value is error


async def test_a_thread_with_a_running_loop_may_call(portal: Portal) -> None:
    """A notebook's, or an asynchronous view's: it is blocked, and no worse."""
    assert portal.call(thread_name) == "test"


def test_the_loop_itself_may_do_and_not_call(portal: Portal) -> None:
    """It would wait for itself for ever."""

    async def inner() -> str:
        assert portal.do(lambda: 3) == 3
        return portal.call(thread_name)

    with pytest.raises(RuntimeError, match="would wait for itself for ever"):
        portal.call(inner)


def test_a_call_runs_in_the_context_of_its_caller(portal: Portal) -> None:
    """What a span, a request's id or an admission is kept in; changes come back."""

    async def change() -> str:
        before = VARIABLE.get()
        VARIABLE.set("changed")
        return before

    VARIABLE.set("the caller's")
    assert portal.call(change) == "the caller's"
    assert VARIABLE.get() == "changed"


def test_what_interrupts_the_caller_cancels_the_call(portal: Portal) -> None:
    """Ctrl-C, or a soft time limit of Celery; the call has ended when the interruption goes on."""
    ended = []

    async def wait() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            ended.append("cancelled")
            raise

    class SoftTimeLimitError(BaseException):
        """Raised by a signal's handler, in the middle of whatever the main thread does."""

    def interrupt(*_: object) -> NoReturn:
        raise SoftTimeLimitError

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(SoftTimeLimitError):
            portal.call(wait)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert ended == ["cancelled"]


def test_a_cancelled_call_is_cancelled_for_its_caller(portal: Portal) -> None:
    """Nobody mistakes it for a result."""

    async def cancel() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        portal.call(cancel)


def test_a_call_asks_its_thread(portal: Portal) -> None:
    """Results, exceptions, and one that a future does not take."""
    caller = Caller(portal)

    def fail(error: BaseException) -> NoReturn:
        raise error

    async def ask() -> list[str]:
        heard = [await caller.ask(lambda: threading.current_thread().name)]
        for error in (KeyError("a"), StopIteration()):
            try:
                await caller.ask(fail, error)
            except (KeyError, RuntimeError) as raised:
                heard.append(type(raised).__name__)
        return heard

    assert caller.call(ask) == [threading.current_thread().name, "KeyError", "RuntimeError"]


def test_an_interruption_of_what_was_asked_for_ends_the_call(portal: Portal) -> None:
    """It is the thread's own, and the loop does not see it."""
    caller = Caller(portal)
    seen: list[str] = []

    def interrupted() -> NoReturn:
        raise KeyboardInterrupt

    async def ask() -> None:
        try:
            await caller.ask(interrupted)
        except BaseException as raised:
            seen.append(type(raised).__name__)
            raise

    with pytest.raises(KeyboardInterrupt):
        caller.call(ask)
    assert seen == ["CancelledError"]
    assert portal.call(thread_name) == "test"


def test_many_threads_at_once(portal: Portal) -> None:
    """Each gets its own answer."""
    answers: dict[int, int] = {}

    async def double(number: int) -> int:
        await asyncio.sleep(0)
        return 2 * number

    def ask(number: int) -> None:
        answers[number] = portal.call(double, number)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {number: 2 * number for number in range(20)}


def test_closing_cancels_what_is_under_way_and_ends_what_has_an_end(portal: Portal) -> None:
    """Nobody waits for ever for a loop that is gone."""
    seen: list[str] = []
    waiting = threading.Event()

    async def wait() -> None:
        waiting.set()
        await asyncio.sleep(60)

    async def ending() -> None:
        seen.append("ended")

    def call() -> None:
        try:
            portal.call(wait)
        except asyncio.CancelledError:
            seen.append("cancelled")

    portal.do(portal.at_end, "key", ending)
    thread = threading.Thread(target=call)
    thread.start()
    waiting.wait()
    portal.close()
    thread.join()
    assert sorted(seen) == ["cancelled", "ended"]


def test_a_program_ends_while_a_portal_is_open() -> None:
    """With what was to be done at its end, and without a word."""
    script = """
from seslimit._portal import Portal
async def end(): print("ended")
portal = Portal()
portal.do(portal.at_end, 1, end)
"""
    assert in_a_process(script) == "ended\n"


FORK = """
import asyncio, os, threading, warnings
from seslimit._portal import Portal

portal = Portal()
begun = threading.Event()
async def loop(): return id(asyncio.get_running_loop())
async def slow():
    begun.set()
    await asyncio.sleep(0.3)
    return "the parent's call has ended"
answers = []
thread = threading.Thread(target=lambda: answers.append(portal.call(slow)))
thread.start()
begun.wait()
before = portal.call(loop)
warnings.simplefilter("ignore", DeprecationWarning)  # of the thread that waits for its call
child = os.fork()
if child == 0:
    other = portal.call(loop)
    print("another loop" if portal.call(loop) == other != before else "the same loop", flush=True)
    os._exit(0)
os.waitpid(child, 0)
thread.join()
print(*answers, "in the same loop" if portal.call(loop) == before else "in another loop")
"""


def test_a_fork_gets_a_loop_of_its_own_and_the_parent_goes_on() -> None:
    """Celery's prefork, gunicorn's preload, multiprocessing: a call under way in the parent is not disturbed."""
    assert in_a_process(FORK) == "another loop\nthe parent's call has ended in the same loop\n"


def test_a_fork_finds_no_thread_of_the_portal() -> None:
    """Python 3.12 warns of a fork beside threads, and rightly: here, of nothing."""
    script = """
import os, threading
from seslimit._portal import Portal
portal = Portal()
async def one(): return 1
portal.call(one)
child = os.fork()
if child == 0:
    os._exit(portal.call(one))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), portal.call(one))
"""
    assert in_a_process(script) == "1 1\n"


def test_a_callback_that_waits_for_the_fork_does_not_hold_it_for_ever(
    portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop goes on when it has let go."""
    monkeypatch.setattr("seslimit._portal.REST", 0.05)
    held = threading.Event()
    portal.call(thread_name)
    blocked = threading.Thread(target=lambda: portal.do(held.wait, 30))
    blocked.start()
    time.sleep(0.05)
    portal.before_fork()
    portal.after_fork()
    held.set()
    blocked.join()
    assert portal.call(thread_name) == "test"
