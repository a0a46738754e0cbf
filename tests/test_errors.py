"""Errors say one thing in one line, survive pickling, and are what a caller expects to catch."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

import seslimit
from seslimit import (
    AccountBlocked,
    CampaignHeld,
    ConfigurationError,
    EndpointUnreachable,
    IdentityBlocked,
    InvalidMessage,
    JournalError,
    JournalUnavailable,
    KeyReused,
    LeaseLost,
    Message,
    Outcome,
    QuotaExceeded,
    Report,
    SendFailed,
    SendingStopped,
    SESLimitError,
    Suppressed,
    SuppressionUnavailable,
    TransportError,
)
from seslimit._model.errors import MAX_REPLY_LENGTH, printable
from seslimit._model.meaning import Meaning
from seslimit._model.outcome import Door, Reply, Stage

MESSAGE = Message("a@example.com", ["b@example.org"], b"x", "key")
ERRORS = [
    AccountBlocked("535 Authentication Credentials Invalid", [MESSAGE]),
    CampaignHeld("held, too many bounced", [MESSAGE]),
    ConfigurationError("rate is 0"),
    EndpointUnreachable("no connection", [MESSAGE]),
    InvalidMessage("recipients is empty"),
    JournalError("the file is damaged", [MESSAGE]),
    JournalUnavailable("the disk is full", [MESSAGE]),
    KeyReused("ada-7"),
    LeaseLost("another has it"),
    SESLimitError("anything"),
    SendFailed(Report(MESSAGE, Outcome.PERMANENT, attempts=1, error=TransportError(Outcome.PERMANENT, "554 no"))),
    SendingStopped("stopped"),
    Suppressed({"b@example.org": "suppressed: bounce"}),
    SuppressionUnavailable("no such file", [MESSAGE]),
    IdentityBlocked("554 not verified", [MESSAGE]),
    QuotaExceeded("nothing left", [MESSAGE], retry_after=60.0),
    TransportError(
        Outcome.NOT_SENT, "454 later", retry_after=3.0, stage=Stage.AUTH, decided_at=1.5, blocks_endpoint=True
    ),
]


def state(error: BaseException) -> object:
    """Everything that an error holds, errors inside it as their own state."""
    if isinstance(error, SendFailed):
        assert error.report.error is not None
        return (error.args, error.report.message, error.report.attempts, state(error.report.error))
    return (type(error), error.args, vars(error))


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_pickles_with_all_it_holds(error: Exception) -> None:
    """It may cross to another process."""
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301  # our own bytes
    assert state(copy) == state(error)


def test_every_public_error_is_among_those_that_are_pickled_here() -> None:
    """A new one is not forgotten."""
    public = {value for value in vars(seslimit).values() if isinstance(value, type) and issubclass(value, Exception)}
    assert public <= {type(error) for error in ERRORS}


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_one_class_catches_every_error(error: Exception) -> None:
    """And what is wrong with an argument is also the builtin that a caller expects."""
    assert isinstance(error, SESLimitError)
    assert isinstance(error, ValueError) == isinstance(error, InvalidMessage | ConfigurationError | KeyReused)


def test_sending_that_stopped_is_one_class() -> None:
    """Whichever the reason, the messages that are left are in the same place."""
    for error in (AccountBlocked("no", [MESSAGE]), EndpointUnreachable("no", [MESSAGE])):
        assert isinstance(error, SendingStopped)
        assert error.unsent == (MESSAGE,)


def test_a_message_that_was_given_up_says_why() -> None:
    """Outcome, counted attempts and the last error are in the sentence."""
    assert (
        str(next(each for each in ERRORS if isinstance(each, SendFailed)))
        == "permanent after 1 counted attempts: 554 no"
    )


def test_an_outcome_may_be_given_as_its_word() -> None:
    """A plug-in need not import the class."""
    assert TransportError("throttled", "slow down").outcome is Outcome.THROTTLED  # type: ignore[arg-type]


def test_an_outcome_that_there_is_not_is_refused() -> None:
    """Rather than be a decision of its own kind."""
    with pytest.raises(ValueError, match="nonsense"):
        TransportError("nonsense", "x")  # type: ignore[arg-type]


def test_the_text_of_a_service_is_made_printable() -> None:
    """No reply moves a cursor or begins a line of a log."""
    assert TransportError(Outcome.TRANSIENT, "4.5.1\r\nx\x1b[2J").reply == r"4.5.1\r\nx\x1b[2J"


@given(st.text())
def test_printable_text_is_short_printable_and_stays_so(text: str) -> None:
    """Whatever a service says; made printable twice, it is the same."""
    shown = printable(text)
    assert shown == "" or shown.isprintable()
    assert len(shown) <= MAX_REPLY_LENGTH
    assert printable(shown) == shown


@given(st.text(alphabet=st.characters(codec="ascii", categories=["L", "N", "P", "Zs"]), max_size=MAX_REPLY_LENGTH))
def test_an_ordinary_text_is_left_alone(text: str) -> None:
    """Up to the longest that is kept."""
    assert printable(text) == text


def test_a_reply_reads_as_on_the_wire() -> None:
    """Code, then text; the code alone where there is no text."""
    assert str(Reply(Door.SMTP, Stage.DOT, "454", "Throttling failure")) == "454 Throttling failure"
    assert str(Reply(Door.API, Stage.REQUEST, "BadRequest", "")) == "BadRequest"


def test_a_transport_error_carries_its_meaning() -> None:
    """As one value, which nobody has to put together again; the former name of the hand-over is still taken."""
    error = TransportError(Outcome.UNKNOWN, "it broke", stage=Stage.DOT, handed_over_at=1.5)
    assert error.meaning == Meaning(Outcome.UNKNOWN, stage=Stage.DOT, handed_over_at=1.5)
    assert TransportError.of(error.meaning, "it broke").meaning is error.meaning
    old = TransportError(Outcome.UNKNOWN, "it broke", stage=Stage.DOT, decided_at=1.5)
    assert (old.meaning, old.decided_at, old.handed_over_at) == (error.meaning, 1.5, 1.5)
