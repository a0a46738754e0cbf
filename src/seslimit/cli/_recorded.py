"""The transport of a run with a report: an attempt that cannot be written down is not made."""

from __future__ import annotations

import attrs

from .._meaning.classify import classify
from .._model.errors import TransportError
from .._model.message import Message
from .._model.outcome import Outcome
from .._model.quota import SendQuota
from .._model.report import Receipt
from ..transports import KnowsQuota, Transport
from ._reporting import ReportFile


@attrs.frozen(eq=False)
class RecordedTransport:
    """A transport that makes no attempt which was not written down before."""

    inner: Transport
    report: ReportFile

    async def send(self, message: Message) -> Receipt:
        """Make one attempt; see `Transport.send`."""
        if not self.report.begins(message):
            raise TransportError(Outcome.NOT_SENT, "The attempt could not be written down.")
        try:
            return await self.inner.send(message)
        except Exception as error:
            if classify(error) is not Outcome.UNKNOWN:
                self.report.refused(message)
            raise

    async def quota(self) -> SendQuota | None:
        """The account's sending quota, where the transport knows it."""
        return await self.inner.quota() if isinstance(self.inner, KnowsQuota) else None

    async def aclose(self) -> None:
        """Close the transport."""
        await self.inner.aclose()
