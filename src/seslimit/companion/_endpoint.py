"""What a companion says at its start of a service that is not there: else the first message would find it out."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol, runtime_checkable

from seslimit import Sender

logger = logging.getLogger("seslimit")


@runtime_checkable
class Named(Protocol):
    """A transport that says where its service is, as `SMTPTransport` does."""

    host: str
    port: int


async def ask_for_service(sender: Sender) -> None:
    """
    Ask for the account's sending quota, where the transport knows it, and whether the endpoint's name is known.

    What is wrong (credentials, a misspelt region) is then in the log.
    """
    transport = sender.transport
    if isinstance(transport, Named):
        try:
            await asyncio.get_running_loop().getaddrinfo(transport.host, transport.port)
        except OSError as error:
            logger.warning("no message can be sent now: the name %s is not known: %s", transport.host, error.strerror)
    await sender.ask_quota()
