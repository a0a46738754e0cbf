"""
Which posts were sent already, so that a campaign that is resumed sends nothing twice.

Decides which message is remembered and which is forgotten. A test send looks exactly like a message of the campaign, so
two things are asked. Is it the same message, with the same content, for the same subscriber? And was it one of a
running campaign, that is, had `OTHERS` others been posted in the same run? What was sent before a run, or as one of its
first, is not remembered: rather twice than never.

Invariants: memory is bounded; only what was accepted is remembered; time comes as an argument, in seconds.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict

import attrs

from ._post import Post

REMEMBERED = 200_000
"""Messages that are remembered at most, half as many at least. What is posted twice was posted last before a pause."""

OTHERS = 20
"""Subscribers that a campaign must have posted to, one soon after the other, before the next one is remembered: more
than anybody sends a test to."""

PAUSE = 10.0
"""Seconds without a post after which a run is over. listmonk's workers nap for one second, and a batch is fetched."""

CAMPAIGNS = 1000
"""Campaigns whose runs are followed at the same time."""


def key_of(post: Post) -> bytes | None:
    """The message's digest: campaign, subscriber and content; None for a transactional message, which has no key."""
    if post.campaign is None or not post.recipient.uuid:
        return None
    digest = hashlib.blake2b(digest_size=16)
    texts = (post.campaign.uuid, post.recipient.uuid, post.recipient.email, post.from_address, post.subject, post.body)
    fields = [text.encode("utf-8") for text in texts]
    fields += [part for each in post.attachments for part in (each.name.encode("utf-8"), each.content)]
    for field in fields:
        # The lengths keep two fields from being taken for one another.
        digest.update(len(field).to_bytes(8, "big"))
        digest.update(field)
    return digest.digest()


@attrs.define
class Memory:
    """
    The message ids of what was sent.

    Args:
        most: messages that are remembered at most; the oldest are forgotten, half of them at a time.
    """

    most: int = REMEMBERED
    _young: dict[bytes, str] = attrs.field(factory=dict, init=False)
    _old: dict[bytes, str] = attrs.field(factory=dict, init=False)

    def keep(self, key: bytes, message_id: str) -> None:
        """Remember a message that was accepted."""
        if len(self._young) >= self.most // 2:
            self._old, self._young = self._young, {}
        self._young[key] = message_id

    def message_id(self, key: bytes) -> str | None:
        """Under which id it was accepted; None where it was not, as far as is remembered."""
        return self._young.get(key) or self._old.get(key)

    def __len__(self) -> int:
        return len(self._young) + len(self._old)


@attrs.define
class _Run:
    last_at: float
    held: int = 0
    others: set[str] = attrs.field(factory=set)


@attrs.define
class Runs:
    """The campaigns that are running, as far as their posts tell."""

    _runs: OrderedDict[str, _Run] = attrs.field(factory=OrderedDict, init=False)

    def arrived(self, now: float, campaign: str, subscriber: str) -> bool:
        """A message of a campaign was posted; returns whether it is one of a running campaign."""
        run = self._runs.get(campaign)
        if run is None or (not run.held and now - run.last_at > PAUSE):
            run = self._runs[campaign] = _Run(now)
        self._runs.move_to_end(campaign)
        if len(self._runs) > CAMPAIGNS:
            self._runs.popitem(last=False)
        run.last_at = now
        run.held += 1
        running = len(run.others - {subscriber}) >= OTHERS
        if len(run.others) <= OTHERS:
            run.others.add(subscriber)
        return running

    def answered(self, now: float, campaign: str) -> None:
        """A message of a campaign has its answer."""
        run = self._runs.get(campaign)
        if run is not None:
            run.last_at = now
            run.held = max(0, run.held - 1)
