"""
What is remembered of messages that were accepted for a part of their recipients only.

SMTP has one reply for all recipients: where a later part of them failed for now, the client sends to all again, and the
first part must not get the message twice. Pure: it is told the time.

Invariant: at most `MAX_REMEMBERED` recipients are remembered, each for at most `REMEMBERED_FOR` seconds.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence

import attrs

MAX_REMEMBERED = 50_000
"""Recipients: about 10 MB, at two hundred bytes each."""

REMEMBERED_FOR = 6 * 3600.0
"""Seconds: mail servers come back after minutes at first and within a few hours at most (Postfix: 4,000 s); and the
same words from the same program a day later may be meant as a new message."""


def digest(mail_from: str, recipients: Sequence[str], content: bytes) -> bytes:
    """What a message is remembered by; about 2 ms a megabyte."""
    found = hashlib.sha256(content)
    found.update("\0".join(("", mail_from, *recipients)).encode())
    return found.digest()


@attrs.define
class Memory:
    """Recipients that were accepted, of messages whose client did not hear so."""

    _accepted: OrderedDict[bytes, tuple[float, Mapping[str, str]]] = attrs.field(factory=OrderedDict, init=False)
    _recipients: int = attrs.field(default=0, init=False)

    def __bool__(self) -> bool:
        return bool(self._accepted)

    def recall(self, key: bytes, now: float) -> Mapping[str, str]:
        """Recipient → message id, of the message with this digest."""
        self._drop_old(now)
        return self._accepted.get(key, (0.0, {}))[1]

    def note(self, key: bytes, accepted: Mapping[str, str], now: float) -> None:
        """Remember a message, with all of its recipients that were accepted so far."""
        self.forget(key)
        self._accepted[key] = (now, dict(accepted))
        self._recipients += len(accepted)
        self._drop_old(now)

    def forget(self, key: bytes) -> None:
        """The client has heard about all of them."""
        _, accepted = self._accepted.pop(key, (0.0, {}))
        self._recipients -= len(accepted)

    def _drop_old(self, now: float) -> None:
        while self._accepted:
            key, (noted_at, _) = next(iter(self._accepted.items()))
            if self._recipients <= MAX_REMEMBERED and now - noted_at <= REMEMBERED_FOR:
                return
            self.forget(key)
