"""The synchronous bridge: the asynchronous names without await, in threads, in forks and in whatever interrupts."""

from __future__ import annotations

import inspect
import logging
import smtplib
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

import seslimit
from seslimit import (
    ConfigurationError,
    Message,
    Outcome,
    Receipt,
    Report,
    RetryPolicy,
    SendFailed,
    SendingStopped,
    TransportError,
    blocking,
)
from seslimit.blocking import Limiter, Sender
from seslimit.testing import FakeTransport, Simulator

from .test_portal import in_a_process

FREE = 1e5
"""Recipients/s at which nothing waits for the rate."""

CONTENT = b"From: sender@example.com\r\nTo: reader@example.org\r\nSubject: hello\r\n\r\nhello\r\n"


def message(number: int = 0) -> Message:
    """A message with a key."""
    return Message("sender@example.com", ["reader@example.org"], CONTENT, number)


def messages(count: int) -> list[Message]:
    """Messages with keys."""
    return [message(number) for number in range(count)]


class Unheard(Exception):
    """What nobody knows."""


# Signatures

LIMITER_S_INSIDE = {
    *("conclude", "enter", "find_lane", "give_back", "listen", "may_ask_quota", "places", "settle", "stopped_by"),
}
"""What a limiter is for a sender and for the loop over attempts; a program uses `admit` and `wrap`."""
OTHERWISE = {"aclose": "close", "open": "ask_quota"}
"""Names that are others here: nothing is awaited, and a former name need not be new."""


def parameters(function: Callable[..., object]) -> list[tuple[str, object, object]]:
    """Name, kind and default of each parameter but the first."""
    every = list(inspect.signature(function).parameters.values())[1:]
    return [(each.name, each.kind, each.default) for each in every]


@pytest.mark.parametrize(
    ("theirs", "ours", "left_out"),
    [(seslimit.Limiter, blocking.Limiter, LIMITER_S_INSIDE), (seslimit.Sender, blocking.Sender, set())],
)
def test_every_name_is_there_with_the_signature_of_the_asynchronous_one(
    theirs: type, ours: type, left_out: set[str]
) -> None:
    """A parameter that is added there and not here fails this."""
    assert parameters(ours.__init__) == parameters(theirs.__init__)  # type: ignore[misc]
    for name, member in vars(theirs).items():
        if name.startswith("_") or name in left_out:
            continue
        mine = inspect.getattr_static(ours, OTHERWISE.get(name, name))
        if inspect.isfunction(member):
            assert parameters(mine) == parameters(member), name
            assert not inspect.iscoroutinefunction(mine)
            assert mine.__doc__


# The limiter


def test_an_admission_settles_with_what_leaves_the_block() -> None:
    """Accepted where nothing does; a throttle slows the limiter and is raised on."""
    limiter = Limiter(100)
    with limiter.admit(recipients=3) as admission:
        admission.handed_over()
        assert limiter.state().in_flight == 1
    error = TransportError(Outcome.THROTTLED, "454 Throttling failure: Maximum sending rate exceeded.")
    with pytest.raises(TransportError) as raised, limiter.admit():
        raise error
    assert raised.value is error
    assert limiter.state().in_flight == 0
    assert limiter.rate < 100


def test_the_limiter_itself_as_a_block() -> None:
    """As `async with limiter`; one in another, in several threads."""
    limiter = Limiter(FREE)
    entered = []

    def nested() -> None:
        with limiter, limiter:
            entered.append(1)

    threads = [threading.Thread(target=nested) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(entered) == 8


def test_the_very_first_admission_does_not_wait_for_itself() -> None:
    """One asked for inside another, and inside a wrapped function; alone it would wait a minute for the first one."""
    limiter = Limiter(FREE)
    with limiter.admit(), limiter.admit():
        pass

    another = Limiter(FREE)

    @another.wrap()
    def inside() -> str:
        with another.admit():
            return "sent"

    assert inside() == "sent"


def test_aiolimiter_s_face() -> None:
    """`acquire` and what became of it."""
    limiter = Limiter(100)
    limiter.acquire(2)
    limiter.accepted()
    limiter.acquire()
    limiter.throttled()
    assert limiter.rate < 100
    assert isinstance(limiter.has_capacity(), bool)
    with pytest.raises(AttributeError, match="not set"):
        limiter.rate = 3  # type: ignore[assignment]
    assert limiter.max_rate is None


def test_lanes_ceilings_and_holds() -> None:
    """What is told from one thread holds for all."""
    limiter = Limiter(FREE)
    limiter.lane("transactional", priority=1)
    limiter.ceiling("warm-up", 50.0)
    limiter.hold("lunch")
    assert (limiter.paused, limiter.rate) == ("lunch", 50.0)
    gone = threading.Event()

    def send() -> None:
        with limiter.admit(lane="transactional"):
            gone.set()

    thread = threading.Thread(target=send)
    thread.start()
    assert not gone.wait(0.05)
    limiter.release("lunch")
    thread.join()
    assert gone.is_set()


def test_a_wrapped_function_runs_in_its_caller_s_thread_until_it_is_accepted() -> None:
    """A client of smtplib or a connection of a database belongs to one thread."""
    limiter = Limiter(FREE)
    seen: list[str] = []

    @limiter.wrap(cost=lambda to: len(to), retry=RetryPolicy(first_wait=0.001))
    def send(to: list[str]) -> str:
        """Send."""
        seen.append(threading.current_thread().name)
        if len(seen) < 3:
            raise TransportError((Outcome.TRANSIENT, Outcome.THROTTLED)[len(seen) - 1], "later")
        return to[0]

    assert send(["a@example.org", "b@example.org"]) == "a@example.org"
    assert seen == [threading.current_thread().name] * 3
    assert send.__doc__ == "Send."


def test_a_wrapped_function_s_last_exception_comes_out_unchanged() -> None:
    """With the traceback into the function; a bug is not repeated."""
    calls = []

    @Limiter(FREE).wrap()
    def send() -> None:
        calls.append(1)
        raise Unheard("a bug")

    with pytest.raises(Unheard, match="a bug") as raised:
        send()
    assert len(calls) == 1
    assert raised.traceback[-1].name == "send"


def test_an_interruption_in_a_wrapped_function_leaves_it() -> None:
    """KeyboardInterrupt in the middle of an attempt: no other is made."""
    limiter = Limiter(FREE)
    calls = []

    @limiter.wrap()
    def send() -> None:
        calls.append(1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        send()
    assert (len(calls), limiter.state().in_flight) == (1, 0)


def test_wrong_use_is_a_sentence() -> None:
    """An asynchronous function, an asynchronous limiter, a cost that is none, a hook that would not be awaited."""

    async def asynchronous(*_: object) -> None: ...

    with pytest.raises(ConfigurationError, match=r"not of seslimit\.blocking"):
        Limiter().wrap()(asynchronous)
    with pytest.raises(ConfigurationError, match="limiter is asynchronous"):
        Sender("sim://", limiter=seslimit.Limiter())  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="cost"):
        Limiter().wrap(cost=51)
    with pytest.raises(ConfigurationError, match="hook"):
        Limiter(hooks=[asynchronous])
    with pytest.raises(ConfigurationError, match="unknown scheme"):
        Sender("carrier-pigeon://")


# The sender


def test_a_sender_sends_and_closes() -> None:
    """`with` asks for the quota and closes the transport; what is given after that is sent back."""
    transport = FakeTransport()
    with Sender(transport, limiter=Limiter(FREE)) as sender:
        assert sender.send(message()) == Receipt("fake-1")
        assert (sender.state().in_flight, sender.transport) == (0, transport)
    assert transport.closed
    assert sender.unfinished == ()
    with pytest.raises(SendingStopped):
        sender.send(message())


def test_what_is_given_up_raises_as_it_does_asynchronously() -> None:
    """With its report."""
    with (
        Sender(FakeTransport(lambda _: Outcome.PERMANENT), limiter=Limiter(FREE)) as sender,
        pytest.raises(SendFailed) as raised,
    ):
        sender.send(message(7))
    assert raised.value.report.message.key == 7


def test_many_messages_are_taken_and_reported_in_the_caller_s_thread() -> None:
    """One by one, as there is room: a query of Django's, or a file, is read where it belongs."""
    taken: list[str] = []

    def source() -> Iterator[Message]:
        for each in messages(300):
            taken.append(threading.current_thread().name)
            yield each

    with Sender(FakeTransport(), limiter=Limiter(FREE), max_in_flight=5) as sender:
        reports = sender.send_many(source())
        first = next(reports)
        assert len(taken) < 100
        keys = [first.message.key, *(report.message.key for report in reports)]
    assert sorted(map(str, keys)) == sorted(map(str, range(300)))
    assert set(taken) == {threading.current_thread().name}


def test_what_the_iterable_raises_comes_after_the_reports() -> None:
    """Nothing of what it gave before is lost."""

    def source() -> Iterator[Message]:
        yield from messages(3)
        raise Unheard("no more")

    with Sender(FakeTransport(), limiter=Limiter(FREE)) as sender:
        reports: list[Report] = []
        with pytest.raises(Unheard, match="no more"):
            reports.extend(sender.send_many(source()))
    assert len(reports) == 3


def test_a_loop_that_is_left_takes_no_more() -> None:
    """`break` ends what is under way; the source is not read on."""
    taken = []

    def source() -> Iterator[Message]:
        for each in messages(1000):
            taken.append(each)
            yield each

    transport = FakeTransport()
    with Sender(transport, limiter=Limiter(FREE), max_in_flight=2) as sender:
        stream = sender.send_many(source())
        for _ in stream:
            break
        stream.close()
        assert len(transport.sent) <= len(taken) < 100
        assert sender.state().in_flight == 0
        assert sender.send(message()).message_id


def test_stopping_from_another_thread_ends_a_call_that_waits() -> None:
    """Its message is unsent."""
    limiter = Limiter(FREE)
    sender = Sender(FakeTransport(), limiter=limiter)
    limiter.hold("lunch")
    ended: list[object] = []

    def send() -> None:
        try:
            sender.send(message(1))
        except SendingStopped as stopped:
            ended.extend(stopped.unsent)

    thread = threading.Thread(target=send)
    thread.start()
    while not sender.state().waiting:
        thread.join(0.005)
    sender.stop()
    thread.join()
    sender.close()
    assert [each.key for each in ended if isinstance(each, Message)] == [1]


def test_hooks_are_called() -> None:
    """In the loop's thread, where they may ask for the state and must not send."""
    heard: list[object] = []

    def hook(report: Report) -> None:
        heard.append((report.message.key, sender.limiter.rate > 0))
        try:
            sender.send(message())
        except RuntimeError as error:
            heard.append(str(error).partition(",")[0])

    sender = Sender(FakeTransport(), limiter=Limiter(FREE), hooks=[hook])
    with sender:
        sender.send(message(5))
    assert heard == [(5, True), "a blocking call was made by the event loop that would have to carry it out"]


def test_a_loop_around_smtplib_from_threads_is_never_throttled_at_a_known_rate() -> None:
    """Eight threads, one account; `benchmarks/blocking.py` has the figure: at least 99 % of the rate."""
    rate = 100.0
    with Simulator(rate=rate).in_thread() as simulator:
        limiter = Limiter(rate, max_rate=rate)

        def send(count: int) -> None:
            with smtplib.SMTP("127.0.0.1", simulator.smtp_port) as client:
                client.login("user", "password")
                hand_over = limiter.wrap()(client.sendmail)
                for _ in range(count):
                    hand_over("sender@example.com", ["reader@example.org"], CONTENT)

        threads = [threading.Thread(target=partial(send, 10)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (simulator.counts.accepted, simulator.counts.throttled) == (80, 0)


def test_an_outbox_keeps_what_is_to_be_sent(tmp_path: Path) -> None:
    """By the name of a file; what one program leaves, the next one sends, and what was sent is sent once."""
    file = str(tmp_path / "mail.db")
    limiter = Limiter(FREE)
    limiter.hold("lunch")
    with Sender(FakeTransport(), limiter=limiter, outbox=file) as sender:
        stream = sender.send_many(messages(5))
        taking = threading.Thread(target=lambda: list(stream))
        taking.start()
        while not sender.state().waiting:
            taking.join(0.01)
        sender.stop()
        taking.join()
    transport = FakeTransport()
    with Sender(transport, limiter=Limiter(FREE), outbox=file) as sender:
        drained = [report.message.key for report in sender.drain()]
        added = [report.message.key for report in sender.send_many(messages(5))]
        assert drained
        assert sender.send(message(3)).message_id
    assert sorted(map(str, drained + added)) == ["0", "1", "2", "3", "4"]
    assert len(transport.sent) == 5


def test_a_worker_runs_until_it_is_stopped(tmp_path: Path) -> None:
    """`run` in one thread, `stop` in another."""
    transport = FakeTransport()
    with Sender(transport, limiter=Limiter(FREE), outbox=str(tmp_path / "mail.db")) as sender:
        working = threading.Thread(target=sender.run)
        working.start()
        sender.send(message(1))
        sender.stop()
        working.join()
    assert [each.key for each in transport.sent] == [1]


# Forks

FORK = """
import os, threading
from seslimit import Message, Receipt
from seslimit.blocking import Limiter, Sender
from seslimit.testing import Simulator

def message(key):
    content = f"From: a@example.com\\r\\nTo: b@example.org\\r\\nX-Seslimit-Key: {key}\\r\\n\\r\\nhello\\r\\n".encode()
    return Message("a@example.com", ["b@example.org"], content, key)
"""


def test_a_fork_after_use_sends_from_the_child_and_from_the_parent() -> None:
    """On connections of its own, with what the parent's limiter had learnt; the parent's are not touched."""
    script = (
        FORK
        + """
with Simulator(1000).in_thread() as simulator:
    limiter = Limiter(500)
    limiter.lane("urgent", priority=1)
    sender = Sender(simulator.smtp_url, limiter=limiter)
    sender.send(message("parent 1"))
    learnt = limiter.estimate
    children = []
    for number in range(2):
        if (child := os.fork()) == 0:
            stream = sender.send_many(message(f"child {number} {n}") for n in range(20))
            assert all(report.receipt for report in stream)
            assert sender.send(message(f"urgent {number}"), lane="urgent")
            assert limiter.estimate == learnt
            sender.close()
            os._exit(7)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [7, 7]
    sender.send(message("parent 2"))
    sender.close()
    print(simulator.counts.accepted, simulator.counts.smtp_connections >= 3, simulator.duplicates())
"""
    )
    assert in_a_process(script) == "44 True {}\n"


def test_a_fork_while_threads_wait_for_their_turn_waits_for_nobody_in_the_child() -> None:
    """Those who waited are in the parent, and the head of the line is not in the child."""
    script = (
        FORK
        + """
import time, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of threads of the test's own
limiter = Limiter(1000)
first = threading.Event()
def wait():
    with limiter.admit(recipients=1): first.wait()
threads = [threading.Thread(target=wait, daemon=True) for _ in range(4)]
for thread in threads: thread.start()
while limiter.waiting < 3: time.sleep(0.01)  # for the very first one, of which nothing is known yet
if (child := os.fork()) == 0:
    with limiter.admit(): pass
    assert (limiter.waiting, limiter.state().in_flight) == (0, 0)
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
first.set()
for thread in threads: thread.join()
"""
    )
    assert in_a_process(script) == "7\n"


def test_a_transport_that_was_made_before_a_fork_is_not_used_after_it() -> None:
    """Its connections are the parent's. The sentence says what to do."""
    script = (
        FORK
        + """
from seslimit.testing import FakeTransport
sender = Sender(FakeTransport(), limiter=Limiter(1000))
made = Sender(lambda: FakeTransport(), limiter=sender.limiter)
for each in (sender, made): each.send(message(1))
if (child := os.fork()) == 0:
    made.send(message(2))
    try: sender.send(message(2))
    except RuntimeError as error: print(error, flush=True)
    os._exit(0)
os.waitpid(child, 0)
sender.close()
made.close()
"""
    )
    assert "give a URL, or a function that makes one" in in_a_process(script)


def test_a_fork_in_the_middle_of_a_block_and_of_a_stream_leaves_them_to_the_parent() -> None:
    """The child leaves the block, and settles nothing."""
    script = (
        FORK
        + """
from seslimit.testing import FakeTransport
limiter = Limiter(1000)
sender = Sender(FakeTransport, limiter=limiter)
stream = sender.send_many(message(n) for n in range(5))
next(stream)
with limiter.admit():
    child = os.fork()
if child == 0:
    stream.close()
    assert sender.send(message(9))
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
print(len(list(stream)))
sender.close()
"""
    )
    assert in_a_process(script) == "4\n"


def test_a_sender_that_is_left_open_is_closed_when_the_program_ends() -> None:
    """Without a warning of what was not closed."""
    script = (
        FORK
        + """
class Transport:
    async def send(self, message):
        print("sent", message.key)
        return Receipt("1")
    async def aclose(self): print("closed")
Sender(Transport, limiter=Limiter(1000)).send(message(1))
"""
    )
    assert in_a_process(script) == "sent 1\nclosed\n"


def test_nothing_is_logged_of_calls_that_went_well(caplog: pytest.LogCaptureFixture) -> None:
    """Not even by asyncio."""
    with caplog.at_level(logging.WARNING), Sender(FakeTransport(), limiter=Limiter(FREE)) as sender:
        sender.send(message())
    assert caplog.records == []
