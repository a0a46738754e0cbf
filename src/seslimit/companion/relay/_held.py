"""
One transaction that is held, from its final dot to its reply: whether anybody waits for it, and what ends the wait.

Invariant: an attempt under way is never broken off; whatever calls a transaction back, that attempt counts.
"""

from __future__ import annotations

import asyncio
from typing import TypeAlias

import attrs

from seslimit import AccountBlocked, EndpointUnreachable, Message, QuotaExceeded, Receipt, Sender

from ._replies import LEFT, STOPPING, WAITED

LOOK_AGAIN = 1.0
"""Seconds between two looks at whether anything can be sent again."""

MailObject: TypeAlias = tuple[str, tuple[str, ...], bytes]
"""Return address, recipients and content: what makes two transactions the same."""


@attrs.define(eq=False)
class HeldTransaction:
    """
    The hold on one transaction, from its final dot to its reply.

    Args:
        sender: makes the attempts.
        orphans: where it is put when its client has gone, or may have.
        since: event-loop time (seconds) of its final dot.
        hold: seconds from then on for which it is held when nothing can be sent at all.
    """

    _sender: Sender
    _orphans: set[HeldTransaction]
    since: float
    _hold: float
    lane: str = attrs.field(default="", init=False)
    """The name of the lane that it waits in."""
    repeated: bool = attrs.field(default=False, init=False)
    """Whether the same transaction has come once more meanwhile: then it has gone."""
    accepted: dict[str, str] = attrs.field(factory=dict, init=False)
    """Recipient → message id, of those that SES took."""
    gone: bool = attrs.field(default=False, init=False)
    """Whether nobody waits for the reply any more."""
    overdue: bool = attrs.field(default=False, init=False)
    """Whether it was called back because it waited too long."""
    dismissed: bool = attrs.field(default=False, init=False)
    """Whether the relay stops: what is not begun is given back."""
    closing: bool = attrs.field(default=False, init=False)
    """Whether the relay is about to stop: what has its turn is sent, and nothing else is waited for."""
    begun: bool = attrs.field(default=False, init=False)
    """Whether a part of it was accepted."""
    mail: MailObject | None = attrs.field(default=None, init=False)
    ended: asyncio.Future[None] = attrs.field(factory=lambda: asyncio.get_running_loop().create_future(), init=False)
    _message: Message | None = attrs.field(default=None, init=False)

    def said_last_word(self) -> None:
        """The client says no more: what comes of this counts for the same transaction, should that come once more."""
        self._orphans.add(self)

    def abandon(self) -> None:
        """The client has gone: the attempt under way is the last; if there is none, this is the end."""
        if not self.gone:
            self.gone = True
            self._orphans.add(self)
            self._withdraw()

    def hurry(self) -> None:
        """The client will not wait for much longer: the attempt under way is the last."""
        if not self.overdue:
            self.overdue = True
            self._withdraw()

    def finish(self) -> None:
        """The relay is about to stop: there is time for a turn, and not for the end of a pause."""
        self.closing = True

    def dismiss(self) -> None:
        """The relay stops: the attempt under way is the last, unless others of its recipients have it already."""
        self.dismissed = True
        if not self.begun:
            self._withdraw()

    @property
    def called_back(self) -> str | None:
        """Why nothing more is sent, as a reply; None while there is no reason."""
        if self.gone:
            return LEFT
        if self.overdue:
            return WAITED
        return STOPPING if self.dismissed and not self.begun else None

    async def send(self, message: Message) -> Receipt:
        """Send a part, and hold it while nothing can be sent; see `Sender.send`."""
        while True:
            self._message = message
            try:
                receipt = await self._sender.send(message, lane=self.lane)
            except (QuotaExceeded, AccountBlocked, EndpointUnreachable):
                if not self._may_be_held():
                    raise
            else:
                self.begun = True
                return receipt
            finally:
                self._message = None
            await asyncio.sleep(LOOK_AGAIN)

    def _may_be_held(self) -> bool:
        now = asyncio.get_running_loop().time()
        return not self.closing and self.called_back is None and now + LOOK_AGAIN <= self.since + self._hold

    def _withdraw(self) -> None:
        if self._message is not None:
            self._sender.withdraw(self._message)
