"""
What `seslimit doctor` finds out, as values: one check a line, and what they come to.

Invariants: the first check that is wrong decides the exit status, since checks come in the order in which one thing
rests on another; what a service says is only told through `quote`, since it may repeat the secret it was given.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from typing import Any

import attrs

from ..._model.errors import printable
from .._ending import Status

HIDDEN = "***"
"""Stands for a secret."""

QUOTED = 160
"""Characters of a service's text that are told: enough for every known reply of SES."""


class State(enum.StrEnum):
    """How a check came out."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@attrs.frozen
class Check:
    """
    One thing that was looked at.

    Args:
        name: of the thing, one word.
        state: how it came out.
        words: what is wrong and what to do, or what was found.
        status: the exit status where it is wrong.
    """

    name: str
    state: State
    words: str = attrs.field(converter=printable)
    status: Status = Status.WRONG_USAGE

    def line(self) -> str:
        """The check for people."""
        return f"{self.state:<8} {self.name:<12} {self.words}"


@attrs.define(eq=False)
class Diagnosis:
    """
    The checks so far.

    Args:
        tell: called with each check as it is made.
    """

    tell: Callable[[Check], None]
    checks: list[Check] = attrs.field(factory=list, init=False)
    not_checked: list[str] = attrs.field(factory=list, init=False)
    """What could not be looked at, and why."""
    _secrets: list[str] = attrs.field(factory=list, init=False, repr=False)

    def hide(self, *secrets: str | None) -> None:
        """Keep these texts out of what is quoted."""
        self._secrets += filter(None, secrets)
        self._secrets.sort(key=len, reverse=True)

    def quote(self, said: object) -> str:
        """What somebody else said, on one line, shortened, without secrets and without its full stop."""
        text = str(said)
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return printable(text.partition("\n")[0])[:QUOTED].rstrip(". ")

    def has(self, name: str) -> bool:
        """Whether a check of that name was made."""
        return any(check.name == name for check in self.checks)

    def ok(self, name: str, words: str) -> None:
        """Note what is well."""
        self.take([Check(name, State.OK, words)])

    def warn(self, name: str, words: str) -> None:
        """Note what does not keep messages from being sent, but should be known."""
        self.take([Check(name, State.WARNING, words)])

    def wrong(self, name: str, words: str, status: Status = Status.WRONG_USAGE) -> None:
        """Note what keeps messages from being sent."""
        self.take([Check(name, State.WRONG, words, status)])

    def take(self, checks: Iterable[Check]) -> None:
        """Note checks that were made elsewhere."""
        for check in checks:
            self.checks.append(check)
            self.tell(check)

    def leave(self, *what: str) -> None:
        """Note what was not looked at."""
        self.not_checked += what

    @property
    def status(self) -> Status:
        """The exit status: that of the first check that is wrong; 0 where none is."""
        return next((check.status for check in self.checks if check.state is State.WRONG), Status.ALL_ACCEPTED)

    def last_words(self) -> str:
        """What the checks come to, for people."""
        count = {state: sum(check.state is state for check in self.checks) for state in State}
        warnings = f"{count[State.WARNING]} warning{'s' * (count[State.WARNING] != 1)}"
        verdict = f"{count[State.WRONG]} wrong, {warnings}." if count[State.WRONG] else f"Nothing wrong, {warnings}."
        rest = [f"Not checked: {'; '.join(self.not_checked)}."] if self.not_checked else []
        return "\n".join([*rest, verdict])

    def figures(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "ok": self.status is Status.ALL_ACCEPTED,
            "checks": [{"name": check.name, "state": check.state, "words": check.words} for check in self.checks],
            "not_checked": self.not_checked,
        }
