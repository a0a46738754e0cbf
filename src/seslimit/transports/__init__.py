"""
What a transport is, and how a URL becomes one.

A transport hands one message to one service, once: it never retries, paces or queues. Transports are found by the
scheme of a URL among the entry points of the group `seslimit.transports`; only the one that is named is imported.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Protocol, TypeAlias, runtime_checkable

from .._model.errors import ConfigurationError
from .._model.message import Message
from .._model.quota import SendQuota
from .._model.report import Receipt
from ._url import TransportURL

__all__ = ["ENTRY_POINTS", "KnowsQuota", "Transport", "TransportFactory", "TransportURL", "transport_from_url"]

ENTRY_POINTS = "seslimit.transports"
"""Entry-point group under which a plug-in registers its factory; the name is the URL scheme."""


class Transport(Protocol):
    """
    Hands one message to one service, once.

    A class need not inherit from it. One object is used by many tasks at the same time.
    """

    async def send(self, message: Message) -> Receipt:
        """
        Make one attempt.

        Raises:
            TransportError: the message was not accepted; its outcome says what that means. Any other exception is
                classified by `seslimit.classify`.

        Cancelling:
            the attempt is dropped together with its connection; the message may have been accepted.
        """
        ...

    async def aclose(self) -> None:
        """Release connections. Called once, when nothing is under way."""
        ...


@runtime_checkable
class KnowsQuota(Protocol):
    """A transport that can ask the service for the account's sending quota."""

    async def quota(self) -> SendQuota | None:
        """
        The account's sending quota now; None where the service does not tell.

        Raises:
            TransportError: the question failed; the caller goes on without an answer.
        """
        ...


TransportFactory: TypeAlias = Callable[[TransportURL], Transport]


def transport_from_url(url: str) -> Transport:
    """
    The transport that a URL names.

    Args:
        url: `ses://REGION`, `smtp://user:password@host:587`, `smtps://…`, `sim://`, or the scheme of a plug-in; options
            follow as a query.

    Raises:
        ConfigurationError: unknown scheme, unknown or malformed option, or an extra that is not installed. The sentence
            never holds the password.
    """
    parsed = TransportURL.parse(url)
    known = _registered()
    if parsed.scheme not in known:
        raise ConfigurationError(f"unknown scheme {parsed.scheme!r}: use one of {', '.join(sorted(known))}.")
    factory: TransportFactory = known[parsed.scheme].load()
    return factory(parsed)


def _registered() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=ENTRY_POINTS)}
