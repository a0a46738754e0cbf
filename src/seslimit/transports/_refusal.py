"""From the meaning of a reply to the error that a transport raises."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Collection

import attrs

from .._meaning.replies import interpret
from .._model.errors import TransportError, words_of
from .._model.meaning import Meaning
from .._model.outcome import Reply

__all__ = ["error_of", "reason_of", "refusal", "words_of"]


def error_of(meaning: Meaning, words: str, *, decided_at: float | None = None) -> TransportError:
    """The error that says what a meaning says, with the service's words."""
    return TransportError.of(attrs.evolve(meaning, handed_over_at=decided_at), words)


def refusal(
    reply: Reply, recipients: Collection[str] = (), *, decided_at: float | None = None, fresh: bool = False
) -> TransportError:
    """
    The error for a reply that is no acceptance.

    Args:
        reply: the reply.
        recipients: the envelope's recipients.
        decided_at: event-loop time at which the content had been handed over; None when it was not.
        fresh: whether the connection has not carried a message before. One that ends so soon says something about the
            endpoint; an old one only about itself.
    """
    meaning = interpret(reply, recipients)
    return error_of(
        attrs.evolve(meaning, blocks_endpoint=meaning.blocks_endpoint or (fresh and meaning.outcome == "not_sent")),
        str(reply),
        decided_at=decided_at,
    )


def reason_of(error: BaseException) -> str:
    """Why no connection could be made: in the system's words, where asyncio puts its own in their place."""
    if isinstance(error, OSError) and error.errno and not isinstance(error, socket.gaierror | ssl.SSLError):
        return os.strerror(error.errno)
    return words_of(error)
