"""
Messages that are answered for once they are durable, and sent by a worker beside the server.

Decides nothing about a message. Whatever stops the sending (an account that is blocked, a service that cannot be
reached) does not stop the taking: the outbox keeps what comes, and sending begins again a while later.

Invariant: what `keep` returned from is on the disk.
"""

from __future__ import annotations

import asyncio
import logging

from .. import Journal, JournalError, JournalUnavailable, Message, Sender, SendingStopped

logger = logging.getLogger("seslimit")

AGAIN = 60.0
"""Seconds until sending begins again after it had to stop: within the probes of a blocked account."""


class Draining:
    """
    An outbox that is filled and drained by one server.

    Args:
        outbox: keeps the messages; closed by whoever opened it, after `aclose`.
        sender: drains it: `Sender(outbox=outbox)`.
    """

    def __init__(self, outbox: Journal, sender: Sender) -> None:
        self.stopped_by: SendingStopped | None = None
        """Why nothing is sent now; None while it is."""
        self._outbox = outbox
        self._sender = sender
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Begin to send what is there, and what comes."""
        self._task = asyncio.create_task(self._work())

    async def keep(self, message: Message) -> bool:
        """
        Make a message durable; it is sent in its turn.

        Returns:
            whether it is new; False for one that is there already, by its key or by all that it holds.

        Raises:
            JournalUnavailable: it cannot be kept now: tell the client to come back.
            KeyReused: another message has its key.
        """
        return bool(await self._outbox.add([message]))

    async def aclose(self) -> None:
        """Stop; what is under way comes to its end, and the rest stays in the outbox."""
        await self._sender.aclose()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _work(self) -> None:
        while True:
            try:
                await self._sender.run()
                return
            except SendingStopped as stopped:
                self.stopped_by = stopped
                logger.warning("what comes is kept, and not sent for now: %s", stopped)
                if isinstance(stopped, JournalError) and not isinstance(stopped, JournalUnavailable):
                    return
            await asyncio.sleep(AGAIN)
            self.stopped_by = None
