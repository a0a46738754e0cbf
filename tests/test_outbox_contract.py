"""What holds for every outbox, in memory, in SQLite and in PostgreSQL: added once, leased to one, recorded at once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from seslimit import ConfigurationError, InvalidMessage, Message, Outcome, Receipt, Report
from seslimit.outbox import Count, Feedback, Filter, KeyReused, LeaseLost, Queued, Row, State, Suppressed
from seslimit.outbox._forms import INTERRUPTED
from tests.outbox_engines import BEGIN, LEASE, AnyOutbox, Place, accepted, attempt, failed, message, place

__all__ = ["place"]


async def leased(outbox: AnyOutbox, most: int = 10) -> list[Queued]:
    """What is due."""
    return list(await outbox.claim(most))


async def keys(outbox: AnyOutbox, most: int = 10) -> list[object]:
    """The keys of what is due, in its order."""
    return [queued.message.key for queued in await outbox.claim(most)]


async def rows(outbox: AnyOutbox, wanted: Filter | None = None) -> list[Row]:
    """What an export has."""
    return [row async for row in outbox.rows(wanted)]


async def sent(outbox: AnyOutbox, queued: Queued, at: float = BEGIN, **refused: str) -> None:
    """Send a message that was leased."""
    await outbox.begins(queued)
    await outbox.ends(queued, accepted(queued, at, **refused))


# Adding


async def test_what_is_added_is_claimed_as_it_was(place: Place) -> None:
    """Envelope, content, key and lane; nothing has happened to it yet."""
    outbox = await place.open()
    new = Message("a@example.org", ["b@example.com", "c@example.com"], b"Subject: \xff\r\n\r\n.\r\n", 7, lane="fast")
    assert await outbox.add([new]) == 1
    (queued,) = await leased(outbox)
    assert queued.message == new
    assert (queued.history.first_at, queued.history.attempts, queued.history.outcome) == (BEGIN, 0, None)
    assert queued.receipt is None


@pytest.mark.parametrize("key", ["a", "", 'é\n"\\', "#a", 0, -1, 2**70, 1.5, ("campaign", 7, ("x", 1))])
async def test_a_key_comes_back_as_it_was(place: Place, key: object) -> None:
    """Texts, numbers, and tuples of such."""
    outbox = await place.open()
    await outbox.add([Message("a@example.org", ["b@example.com"], b"\r\n", key)])
    (queued,) = await leased(outbox)
    assert queued.message.key == key
    assert type(queued.message.key) is type(key)


@pytest.mark.parametrize("key", [b"bytes", "nul\0", object(), float("nan"), "x" * 1001, ("a", b"b")])
async def test_a_key_that_cannot_be_kept_is_refused(place: Place, key: object) -> None:
    """With one sentence, and nothing is added."""
    outbox = await place.open()
    with pytest.raises(InvalidMessage, match="give a text or a number"):
        await outbox.add([message("b"), Message("a@example.org", ["b@example.com"], b"\r\n", key)])
    assert await outbox.queued() == 0


async def test_the_same_key_is_added_once(place: Place) -> None:
    """Whatever has become of it since; in one call and in several."""
    outbox = await place.open()
    assert await outbox.add([message("a"), message("a"), message("b")]) == 2
    assert await outbox.add([message("a"), message("c")]) == 1
    for queued in await leased(outbox):
        await sent(outbox, queued)
    assert await outbox.add([message("a"), message("b"), message("c")]) == 0
    assert await leased(outbox) == []


async def test_a_text_and_a_number_are_two_keys(place: Place) -> None:
    """As they are for Python."""
    outbox = await place.open()
    assert await outbox.add([message("1"), message(1)]) == 2


async def test_without_a_key_the_same_message_is_added_once(place: Place) -> None:
    """By a digest of the envelope and the content: another recipient is another message."""
    outbox = await place.open()
    assert await outbox.add([message(None), message(None)]) == 1
    assert await outbox.add([message(None), message(None, "other@example.com")]) == 1
    assert await outbox.add([message(None, content=b"\r\nother")]) == 1
    assert await keys(outbox) == [None, None, None]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (message("a", "other@example.com"), "the recipients were reader@example.com"),
        (message("a", content=b"\r\n"), "the content was another"),
        (Message("other@example.org", ["reader@example.com"], message().content, "a"), "mail_from was sender@example"),
    ],
    ids=["recipients", "content", "mail_from"],
)
async def test_a_key_of_another_message_is_refused(place: Place, changed: Message, words: str) -> None:
    """The sentence says which key, and what differs; nothing of the call is added."""
    outbox = await place.open()
    await outbox.add([message("a")])
    with pytest.raises(KeyReused, match=words) as refused:
        await outbox.add([message("b"), changed])
    assert refused.value.key == "a"
    assert await keys(outbox) == ["a"]


async def test_many_adders_at_once_add_each_message_once(place: Place) -> None:
    """From two outboxes, so that their transactions meet."""
    outboxes = [await place.open(), await place.open()]
    calls = [outboxes[n % 2].add([message(key) for key in range(n, n + 20)]) for n in range(30)]
    assert sum(await asyncio.gather(*calls)) == 49
    assert await outboxes[0].queued() == 49


async def test_what_is_to_be_sent_later_is_not_due_before(place: Place) -> None:
    """Given as a datetime, or in seconds since the epoch."""
    outbox = await place.open()
    await outbox.add([message("tomorrow")], send_at=datetime.fromtimestamp(BEGIN, UTC) + timedelta(days=1))
    await outbox.add([message("soon")], send_at=BEGIN + 60)
    assert await leased(outbox) == []
    assert (await outbox.status()).next_due == BEGIN + 60
    place.now += 60
    assert await keys(outbox) == ["soon"]


async def test_a_moment_without_a_time_zone_is_refused(place: Place) -> None:
    """It could be any hour."""
    outbox = await place.open()
    with pytest.raises(ConfigurationError, match="aware datetime"):
        await outbox.add([message()], send_at=datetime(2027, 1, 1))  # noqa: DTZ001


# Order


async def test_order_is_that_of_adding(place: Place) -> None:
    """In portions as well."""
    outbox = await place.open()
    await outbox.add([message(key) for key in range(7)])
    assert [await keys(outbox, 3), await keys(outbox, 3), await keys(outbox, 3)] == [[0, 1, 2], [3, 4, 5], [6]]


async def test_a_higher_priority_goes_first(place: Place) -> None:
    """And within one it is the order of adding."""
    outbox = await place.open()
    await outbox.add([message(1), message(2)])
    await outbox.add([message(3), message(4)], priority=5)
    assert await keys(outbox) == [3, 4, 1, 2]


async def test_what_comes_back_keeps_its_place(place: Place) -> None:
    """Given back unsent, or refused for now and due again."""
    outbox = await place.open()
    await outbox.add([message(key) for key in range(4)])
    first, second = await leased(outbox, 2)
    await outbox.postpones(first, first.history.after(Outcome.TRANSIENT, BEGIN, "451 later"), BEGIN)
    await outbox.returns(second)
    assert await keys(outbox) == [0, 1, 2, 3]


async def test_what_was_due_later_keeps_its_moment_when_it_is_given_back(place: Place) -> None:
    """It was taken all the same, and not sent."""
    outbox = await place.open()
    await outbox.add([message("a")], send_at=BEGIN + 60)
    queued = await outbox.take(message("a"))
    assert isinstance(queued, Queued)
    await outbox.returns(queued)
    assert await leased(outbox) == []


# Leases


async def test_a_message_is_leased_to_one(place: Place) -> None:
    """However many claim at the same moment."""
    outboxes = [await place.open(), await place.open(), await place.open()]
    await outboxes[0].add([message(key) for key in range(60)])
    claimed = await asyncio.gather(*(outbox.claim(10) for outbox in outboxes for _ in range(4)))
    numbers = [queued.message.key for some in claimed for queued in some]
    assert sorted(numbers) == list(range(60))  # type: ignore[type-var]


async def test_closing_gives_back_what_was_not_sent(place: Place) -> None:
    """At once, whatever the lease."""
    outbox, other = await place.open(), await place.open()
    await outbox.add([message("a"), message("b")])
    first, _ = await leased(outbox)
    await sent(outbox, first)
    await outbox.aclose()
    assert await keys(other) == ["b"]


async def test_a_lease_that_ran_out_goes_to_another(place: Place) -> None:
    """What was not handed over as if nothing had happened; what was, with an attempt whose outcome is unknown."""
    gone = await place.open()
    await gone.add([message("queued"), message("sending")])
    _, sending = await leased(gone)
    await gone.begins(sending)
    place.now += LEASE + 1
    outbox = await place.open()
    one, two = await leased(outbox)
    assert (one.message.key, one.history.outcome, one.history.attempts) == ("queued", None, 0)
    assert (two.message.key, two.history.outcome, two.history.unknowns) == ("sending", Outcome.UNKNOWN, 1)
    assert two.history.recent == (attempt(Outcome.UNKNOWN, place.now, INTERRUPTED),)


async def test_a_lease_that_lasts_is_nobody_elses(place: Place) -> None:
    """Until it has run out."""
    outbox = await place.open()
    await outbox.add([message("a")])
    await leased(outbox)
    place.now += LEASE - 1
    assert await leased(await place.open()) == []


async def test_what_went_to_another_is_not_handed_over(place: Place) -> None:
    """A sender that slept finds out before its attempt."""
    slept = await place.open()
    await slept.add([message("a")])
    (queued,) = await leased(slept)
    place.now += LEASE + 1
    (again,) = await leased(await place.open())
    assert again.message == queued.message
    with pytest.raises(LeaseLost):
        await slept.begins(queued)


async def test_an_acceptance_that_comes_late_is_recorded(place: Place) -> None:
    """A sender slept in the middle of its attempt, and another has the message: it is not sent again."""
    slept = await place.open()
    await slept.add([message("a")])
    (queued,) = await leased(slept)
    await slept.begins(queued)
    place.now += LEASE + 1
    other = await place.open()
    (again,) = await leased(other)
    with pytest.raises(LeaseLost):
        await slept.ends(queued, accepted(queued, place.now))
    with pytest.raises(LeaseLost):
        await other.begins(again)
    assert [(row.outcome, row.message_id) for row in await rows(other)] == [(State.ACCEPTED, "id-a")]


async def test_a_refusal_that_comes_late_is_not(place: Place) -> None:
    """It is the other's now, who is sending it."""
    slept = await place.open()
    await slept.add([message("a")])
    (queued,) = await leased(slept)
    await slept.begins(queued)
    place.now += LEASE + 1
    other = await place.open()
    (again,) = await leased(other)
    await other.begins(again)
    with pytest.raises(LeaseLost):
        await slept.ends(queued, failed(queued, place.now))
    await other.ends(again, accepted(again, place.now))
    assert [row.outcome for row in await rows(other)] == [State.ACCEPTED]


# Taking


async def test_what_is_taken_is_added_and_leased(place: Place) -> None:
    """In one step, so that nobody else gets it."""
    outbox = await place.open()
    queued = await outbox.take(new := message("a"))
    assert isinstance(queued, Queued)
    assert queued.message is new
    assert await leased(await place.open()) == []
    await sent(outbox, queued)


async def test_what_came_to_its_end_is_not_taken_again(place: Place) -> None:
    """Its report comes instead."""
    outbox = await place.open()
    queued = await outbox.take(message("a"))
    assert isinstance(queued, Queued)
    await sent(outbox, queued)
    assert await outbox.take(message("a")) == accepted(queued, BEGIN)
    await outbox.add([message("b")])
    (queued,) = await leased(outbox)
    await outbox.ends(queued, failed(queued, BEGIN, reply="550 nobody"))
    report = await outbox.take(message("b"))
    assert isinstance(report, Report)
    assert (report.outcome, str(report.error), report.attempts) == (Outcome.PERMANENT, "550 nobody", 1)


async def test_what_another_sends_is_not_taken(place: Place) -> None:
    """Nor what this one sends already."""
    outbox, other = await place.open(), await place.open()
    await outbox.take(message("a"))
    for each in (outbox, other):
        with pytest.raises(LeaseLost):
            await each.take(message("a"))


async def test_many_take_at_once(place: Place) -> None:
    """Each message goes to one of them; a key that stands for another is refused to its caller alone."""
    outbox = await place.open()
    calls = [outbox.take(message(key % 20)) for key in range(40)]
    calls.append(outbox.take(message(0, "other@example.com")))
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(result, Queued) for result in results) == 20
    assert sum(isinstance(result, LeaseLost) for result in results) == 20
    assert isinstance(results[-1], KeyReused)


# Attempts


async def test_a_history_comes_back(place: Place) -> None:
    """With every attempt; in another process too."""
    outbox = await place.open()
    await outbox.add([message("a")])
    (queued,) = await leased(outbox)
    await outbox.begins(queued)
    history = queued.history.after(Outcome.THROTTLED, BEGIN + 1, "454 slow").after(Outcome.UNKNOWN, BEGIN + 2, "cut")
    await outbox.postpones(queued, history, BEGIN + 5)
    place.now += 5
    (again,) = await leased(await place.open())
    assert again.history == history
    assert again.history.recent == history.recent


async def test_a_message_that_is_kept_is_due_for_nobody_else(place: Place) -> None:
    """It is tried again by the one that has it."""
    outbox = await place.open()
    await outbox.add([message("a")])
    (queued,) = await leased(outbox)
    await outbox.begins(queued)
    await outbox.postpones(queued, queued.history.after(Outcome.THROTTLED, BEGIN, "454"), BEGIN, keep=True)
    assert await leased(await place.open()) == []
    await sent(outbox, queued)
    assert (await outbox.status()).counts == {State.ACCEPTED: Count(1, 1)}


async def test_a_receipt_for_some_recipients_comes_back(place: Place) -> None:
    """So that the others alone are tried again, by whoever does."""
    outbox = await place.open()
    await outbox.add([message("a", "one@example.com", "two@example.com")])
    (queued,) = await leased(outbox)
    await outbox.begins(queued)
    receipt = Receipt("id-a", {"two@example.com": "452 full"})
    partly = Queued(queued.message, queued.history.after(Outcome.ACCEPTED, BEGIN), queued.id, receipt)
    await outbox.postpones(partly, partly.history, BEGIN)
    (again,) = await leased(await place.open())
    assert again.receipt == receipt


async def test_a_call_that_is_repeated_does_nothing_twice(place: Place) -> None:
    """For who did not hear the answer."""
    outbox = await place.open()
    await outbox.add([message("a")])
    (queued,) = await leased(outbox)
    await outbox.begins(queued)
    await outbox.begins(queued)
    await outbox.ends(queued, accepted(queued, BEGIN))
    assert await outbox.used_since(BEGIN - 60) == 1


async def test_many_results_at_once_are_each_ones_own(place: Place) -> None:
    """They share transactions, and nothing else."""
    outbox = await place.open()
    await outbox.add([message(key) for key in range(100)])
    claimed = await leased(outbox, 100)
    await asyncio.gather(*map(outbox.begins, claimed))
    await asyncio.gather(
        *(
            outbox.ends(queued, accepted(queued, BEGIN) if number % 3 else failed(queued, BEGIN, reply=f"550 {number}"))
            for number, queued in enumerate(claimed)
        )
    )
    words = {row.key: row.reply or row.message_id for row in await rows(outbox)}
    assert words == {number: f"id-{number}" if number % 3 else f"550 {number}" for number in range(100)}


# Accounts


async def test_a_row_for_each_recipient(place: Place) -> None:
    """With what became of it; those that an accepted message was not taken for have failed, with the reply."""
    outbox = await place.open()
    await outbox.add([message("a", "one@example.com", "two@example.com")])
    (queued,) = await leased(outbox)
    await sent(outbox, queued, BEGIN + 2, two="550 nobody")
    common = {
        "attempts": 1,
        "mail_from": "sender@example.org",
        "added_at": BEGIN,
        "at": BEGIN + 2,
        "message_id": "id-a",
    }
    assert await rows(outbox) == [
        Row("a", "one@example.com", State.ACCEPTED, **common),  # type: ignore[arg-type]
        Row("a", "two@example.com", State.FAILED, reply="550 nobody", **common),  # type: ignore[arg-type]
    ]


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (Outcome.PERMANENT, State.FAILED),
        (Outcome.TRANSIENT, State.FAILED),
        (Outcome.NOT_SENT, State.FAILED),
        (Outcome.UNKNOWN, State.UNKNOWN),
    ],
)
async def test_how_a_message_ends(place: Place, outcome: Outcome, state: State) -> None:
    """What may have been accepted is not said to have failed."""
    outbox = await place.open()
    await outbox.add([message("a")])
    (queued,) = await leased(outbox)
    await outbox.begins(queued)
    await outbox.ends(queued, failed(queued, BEGIN, outcome, "words"))
    assert [(row.outcome, row.reply) for row in await rows(outbox)] == [(state, "words")]


async def test_rows_that_are_meant(place: Place) -> None:
    """By state, key, recipient, message id, lane and time of adding."""
    outbox = await place.open()
    await outbox.add([message("a", "One@example.com"), message("b", "two@example.com", "one@example.com.au")])
    place.now += 10
    await outbox.add([Message("a@example.org", ["three@example.com"], b"\r\n", "c", lane="fast")])
    (queued,) = await leased(outbox, 1)
    await sent(outbox, queued)

    async def found(**wanted: object) -> set[object]:
        return {row.key for row in await rows(outbox, Filter(**wanted))}  # type: ignore[arg-type]

    assert await found(states=["accepted"]) == {"a"}
    assert await found(states=[State.QUEUED]) == {"b", "c"}
    assert await found(key="b") == {"b"}
    assert await found(recipient="one@EXAMPLE.com") == {"a"}
    assert await found(message_id="id-a") == {"a"}
    assert await found(lane="fast") == {"c"}
    assert await found(since=BEGIN + 10) == {"c"}
    assert await found(until=BEGIN + 10) == {"a", "b"}


async def test_more_rows_than_one_look(place: Place) -> None:
    """Each once, in order of adding."""
    outbox = await place.open()
    await outbox.add([message(key) for key in range(1201)])
    assert [row.key for row in await rows(outbox)] == list(range(1201))


async def test_feedback_is_with_the_recipient(place: Place) -> None:
    """What is heard twice is kept once; letters' case does not matter in an address."""
    outbox = await place.open()
    await outbox.add([message("a", "One@example.com", "two@example.com")])
    (queued,) = await leased(outbox)
    await sent(outbox, queued)
    await outbox.feedback("id-a", "one@example.com", "complained", BEGIN + 9, "abuse")
    for at in (BEGIN + 5, BEGIN + 6):
        await outbox.feedback("id-a", "ONE@example.com", "delivered", at)
    heard = {row.recipient: row.feedback for row in await rows(outbox)}
    both = (Feedback("delivered", BEGIN + 5), Feedback("complained", BEGIN + 9, "abuse"))
    assert heard == {"One@example.com": both, "two@example.com": ()}


async def test_status_counts_everything(place: Place) -> None:
    """Messages and recipients in every state, the oldest that is open, and what is due next."""
    outbox = await place.open()
    await outbox.add([message("a", "one@example.com", "two@example.com"), message("b"), message("c"), message("d")])
    place.now += 1
    await outbox.add([message("e")], send_at=BEGIN + 99)
    a, b, c = await leased(outbox, 3)
    await sent(outbox, a)
    await outbox.begins(b)
    await outbox.ends(b, failed(b, BEGIN))
    await outbox.begins(c)
    status = await outbox.status()
    assert status.counts == {
        State.ACCEPTED: Count(1, 2),
        State.FAILED: Count(1, 1),
        State.SENDING: Count(1, 1),
        State.QUEUED: Count(1, 1),
        State.LATER: Count(1, 1),
    }
    assert status[State.UNKNOWN] == Count()
    assert status.open == Count(3, 3)
    assert (status.oldest, status.next_due, status.used) == (BEGIN, BEGIN + 99, 2)


async def test_what_a_day_was_used_for(place: Place) -> None:
    """Recipients that were accepted, by the minute; refused ones are not counted, and forgetting changes nothing."""
    outbox = await place.open()
    await outbox.add([message("a", "one@example.com", "two@example.com"), message("b")])
    a, b = await leased(outbox)
    await sent(outbox, a, two="550")
    place.now += 3600
    await sent(outbox, b)
    assert await outbox.used_by_minute(BEGIN) == [(BEGIN, 1), (BEGIN + 3600, 1)]
    await outbox.purge(place.now + 1)
    assert await outbox.used_since(place.now - 86_400) == 2
    assert await outbox.used_since(BEGIN + 60) == 1
    place.now += 86_400
    assert (await outbox.status()).used == 1


# By hand


async def test_what_failed_is_tried_again(place: Place) -> None:
    """As if it were new, before what was added later; what was accepted is not."""
    outbox = await place.open()
    await outbox.add([message("a"), message("b"), message("c")])
    a, b = await leased(outbox, 2)
    await sent(outbox, a)
    await outbox.begins(b)
    await outbox.ends(b, failed(b, BEGIN))
    place.now += 5
    assert await outbox.retry() == 1
    queued, _ = await leased(outbox)
    assert queued.message.key == "b"
    assert (queued.history.attempts, queued.history.outcome, queued.history.first_at) == (0, None, BEGIN + 5)
    await sent(outbox, queued)


async def test_only_what_is_meant_is_tried_again(place: Place) -> None:
    """By the same filter as rows."""
    outbox = await place.open()
    await outbox.add([message("a"), message("b")])
    for queued in await leased(outbox):
        await outbox.begins(queued)
        await outbox.ends(queued, failed(queued, BEGIN))
    assert await outbox.retry(Filter(key="b")) == 1
    assert await keys(outbox) == ["b"]


async def test_what_is_cancelled_is_not_sent(place: Place) -> None:
    """Nor by one that has leased it and not begun; what is being sent comes to its end."""
    outbox = await place.open()
    await outbox.add([message("queued"), message("x")], priority=-1)
    await outbox.add([message("claimed"), message("sending")])
    claimed, sending = await leased(outbox, 2)
    await outbox.begins(sending)
    assert await (await place.open()).cancel() == 3
    with pytest.raises(LeaseLost):
        await outbox.begins(claimed)
    await outbox.ends(sending, accepted(sending, BEGIN))
    assert await leased(outbox) == []
    assert {row.key: row.outcome for row in await rows(outbox)} == {
        "queued": State.CANCELLED,
        "x": State.CANCELLED,
        "claimed": State.CANCELLED,
        "sending": State.ACCEPTED,
    }


async def test_what_is_forgotten_is_new_again(place: Place) -> None:
    """Only what came to its end before the moment is."""
    outbox = await place.open()
    await outbox.add([message("old"), message("new"), message("open")])
    old, new = await leased(outbox, 2)
    await sent(outbox, old, BEGIN)
    await sent(outbox, new, BEGIN + 10)
    await outbox.feedback("id-old", "reader@example.com", "delivered", BEGIN + 1)
    assert await outbox.purge(BEGIN + 10) == 1
    assert [row.key for row in await rows(outbox)] == ["new", "open"]
    assert await outbox.add([message("old"), message("new"), message("open")]) == 1


async def test_addresses_that_nothing_is_sent_to(place: Place) -> None:
    """Kept, found, replaced and forgotten; in lower case."""
    outbox = await place.open()
    entries = [Suppressed("B@example.com", "bounced", BEGIN, "550"), Suppressed("a@example.com", "complained", BEGIN)]
    await outbox.suppression.add(entries)
    found = await (await place.open()).suppression.find(["b@EXAMPLE.com", "c@example.com"])
    assert found == {"b@example.com": entries[0]}
    await outbox.suppression.add([Suppressed("b@example.com", "manual", BEGIN + 1)])
    assert [entry.reason async for entry in outbox.suppression] == ["complained", "manual"]
    assert await outbox.suppression.remove(["B@example.com", "c@example.com"]) == 1
    assert [entry.address async for entry in outbox.suppression] == ["a@example.com"]


# Waiting


async def test_who_waits_hears_of_what_is_added(place: Place) -> None:
    """At once in the same process, and within the time-out in any case."""
    outbox = await place.open()
    async with asyncio.timeout(120):
        waits = asyncio.create_task(outbox.wait(9))
        await asyncio.sleep(0)
        await outbox.add([message("a")])
        await waits
        assert await outbox.claim(1)
        await outbox.wait(0.01)


async def test_recording_can_be_tried(place: Place) -> None:
    """What `check` records is no message."""
    outbox = await place.open()
    await outbox.check()
    assert await rows(outbox) == []


async def test_what_is_there_is_known_before_anything_is_added(place: Place) -> None:
    """By key or by digest; one that differs is refused, as adding it would be."""
    outbox = await place.open()
    await outbox.add([message("a"), message("b")])
    await sent(outbox, (await leased(outbox, 1))[0])
    assert await outbox.known([message("a"), message("c"), message("b")]) == [State.ACCEPTED, None, State.QUEUED]
    with pytest.raises(KeyReused):
        await outbox.known([message("a", "other@example.com")])
    assert await outbox.queued() == 1
