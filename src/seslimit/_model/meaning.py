"""What an attempt said about itself and about everything it stands for: the one value that reaches whoever decides."""

from __future__ import annotations

import enum

import attrs

from .outcome import Outcome, Stage


class Scope(enum.StrEnum):
    """What an outcome is about: what else it would happen to."""

    MESSAGE = "message"
    """This message alone."""
    IDENTITY = "identity"
    """Every message of one sender: its address or domain, its configuration set, its tenant."""
    ACCOUNT = "account"
    """Every message of the account."""
    ENDPOINT = "endpoint"
    """Every message that goes the same way, or the connection that this one went by."""


_SCOPES = {
    Outcome.THROTTLED: Scope.ACCOUNT,
    Outcome.QUOTA_EXCEEDED: Scope.ACCOUNT,
    Outcome.ACCOUNT_BLOCKED: Scope.ACCOUNT,
    Outcome.NOT_SENT: Scope.ENDPOINT,
}


@attrs.frozen
class Meaning:
    """
    What a reply, or an exception, says about the attempt.

    Args:
        outcome: what the attempt meant.
        retry_after: seconds that the service, or its documents, ask to wait before the next message; 0 for none.
        blocks_endpoint: for `NOT_SENT`, whether the next attempt would meet the same obstacle.
        stage: how far the attempt had come; `AUTH` wherever credentials are the obstacle; None when not known.
        handed_over_at: event-loop time (seconds) at which the content had been handed over; None when not known.
        identity: for `ACCOUNT_BLOCKED`, the identity that it is about, as the reply names it; empty where it names
            none; None where it is about the whole account.
        foreign: for `UNKNOWN`, whether what was raised is nothing that a network, a client library or a transport
            raises: a bug, and sending again would not fix it.
    """

    outcome: Outcome
    retry_after: float = 0.0
    blocks_endpoint: bool = False
    stage: Stage | None = None
    handed_over_at: float | None = None
    identity: str | None = None
    foreign: bool = False

    @property
    def scope(self) -> Scope:
        """What it is about."""
        return _SCOPES.get(self.outcome, Scope.MESSAGE) if self.identity is None else Scope.IDENTITY
