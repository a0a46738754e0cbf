"""
What the simulated service accepted and refused: the truth that a test compares a client's report with.

Decides whether two accepted messages are the same one. Knows no socket and no clock, it is told the time.

Invariants: `counts` and the keys cover every message, also those that are no longer in `accepted`; a key is remembered
as one number, so that memory per message is small and constant; any thread may read while another one writes.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections import Counter, deque
from collections.abc import Iterable
from typing import Final, Literal

import attrs

from ._account import Verdict

Door = Literal["smtp", "api"]

KEY_HEADER: Final = "X-Seslimit-Key"
"""The header whose value says which message this is; without it, content and recipients do."""

BIN: Final = 0.1
"""Width of a bin of the timeline, in seconds: fine enough for windows of a second, 36,000 bins an hour."""

_KEY: Final = re.compile(rb"^" + KEY_HEADER.encode() + rb":([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_END_OF_HEADERS: Final = re.compile(rb"\r?\n\r?\n")


@attrs.frozen
class Submission:
    """One message as it stands before the service's decision."""

    door: Door
    mail_from: str
    recipients: tuple[str, ...]
    content: bytes


@attrs.frozen
class AcceptedMessage:
    """
    One message that the service took responsibility for.

    Args:
        message_id: the id that the client was told, or would have been told had the reply not been lost.
        key: value of the header `X-Seslimit-Key`, else a digest of content and recipients.
        mail_from: envelope sender.
        recipients: envelope recipients, in order.
        digest: BLAKE2b of the content, 16 bytes in hexadecimal.
        size: bytes of content.
        content: the content as it arrived, where the simulator keeps it.
        door: `smtp` or `api`.
        at: event-loop time of the decision, in seconds.
    """

    message_id: str
    key: str
    mail_from: str
    recipients: tuple[str, ...]
    digest: str
    size: int
    content: bytes | None
    door: Door
    at: float


@attrs.define
class Counts:
    """What came to the service since the simulator started; `recipients` is in recipients, the rest in pieces."""

    accepted: int = 0
    recipients: int = 0
    throttled: int = 0
    quota_exceeded: int = 0
    invalid: int = 0
    smtp_connections: int = 0
    api_requests: int = 0


@attrs.frozen
class Tally:
    """
    What was decided in a stretch of time.

    Args:
        recipients: accepted recipients.
        accepted: accepted messages.
        throttled: messages refused for the rate.
        quota_exceeded: messages refused for the day.
    """

    recipients: int
    accepted: int
    throttled: int
    quota_exceeded: int


@attrs.define
class Ledger:
    """
    The accepted messages, the counts, and which keys came twice.

    Args:
        keep_content: whether `AcceptedMessage.content` is kept.
        limit: how many accepted messages are kept, the latest ones; None for all, 0 for counts and keys only.
    """

    keep_content: bool = False
    limit: int | None = None

    accepted: deque[AcceptedMessage] = attrs.field(init=False)
    counts: Counts = attrs.field(factory=Counts, init=False)
    _keys: set[int] = attrs.field(factory=set, init=False)
    _repeated: Counter[str] = attrs.field(factory=Counter, init=False)
    _bins: dict[int, list[int]] = attrs.field(factory=dict, init=False)
    _first: float | None = attrs.field(default=None, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        self.accepted = deque(maxlen=self.limit)

    def accept(self, now: float, message_id: str, submission: Submission) -> None:
        """Write down a message that was accepted at `now`."""
        digest = hashlib.blake2b(submission.content, digest_size=16).hexdigest()
        accepted = AcceptedMessage(
            message_id,
            key_of(submission, digest),
            submission.mail_from,
            submission.recipients,
            digest,
            len(submission.content),
            submission.content if self.keep_content else None,
            submission.door,
            now,
        )
        with self._lock:
            self.counts.accepted += 1
            self.counts.recipients += len(submission.recipients)
            self._mark(now, Verdict.ACCEPTED, len(submission.recipients))
            self._remember(accepted.key)
            self.accepted.append(accepted)

    def refuse(self, now: float, verdict: Verdict) -> None:
        """Write down a message that was refused at `now` for the rate or for the day."""
        with self._lock:
            if verdict is Verdict.RATE_EXCEEDED:
                self.counts.throttled += 1
            else:
                self.counts.quota_exceeded += 1
            self._mark(now, verdict, 0)

    def latest(self) -> list[AcceptedMessage]:
        """The accepted messages that are kept, in order, as they are now."""
        with self._lock:
            return list(self.accepted)

    def duplicates(self) -> dict[str, int]:
        """The keys that were accepted more than once, with how many times too often."""
        with self._lock:
            return dict(self._repeated)

    def missing(self, keys: Iterable[str]) -> list[str]:
        """Those of `keys` that were never accepted, in their order."""
        with self._lock:
            return [key for key in keys if hash(key) not in self._keys]

    def tally(self, begin: float, end: float) -> Tally:
        """What was decided from `begin` to `end`, in seconds since the first decision, to a tenth of a second."""
        total = [0, 0, 0, 0]
        with self._lock:
            for number, bin_ in self._bins.items():
                if begin <= (number + 0.5) * BIN < end:
                    total = [a + b for a, b in zip(total, bin_, strict=True)]
        return Tally(*total)

    def _remember(self, key: str) -> None:
        if hash(key) in self._keys:
            self._repeated[key] += 1
        else:
            self._keys.add(hash(key))

    def _mark(self, now: float, verdict: Verdict, recipients: int) -> None:
        if self._first is None:
            self._first = now
        bin_ = self._bins.setdefault(int((now - self._first) / BIN), [0, 0, 0, 0])
        bin_[0] += recipients
        bin_[_COLUMNS[verdict]] += 1


_COLUMNS: Final = {Verdict.ACCEPTED: 1, Verdict.RATE_EXCEEDED: 2, Verdict.QUOTA_EXCEEDED: 3}


def key_of(submission: Submission, digest: str) -> str:
    """Say which message this is: the value of its `X-Seslimit-Key`, else its content and recipients."""
    end = _END_OF_HEADERS.search(submission.content)
    header = _KEY.search(submission.content, 0, end.start() + 1 if end else len(submission.content))
    if header:
        return header.group(1).strip(b" \t").decode("utf-8", "replace")
    return f"{digest} {' '.join(submission.recipients)}"
