"""
TLS for one connection, without input or output: encrypted bytes go in, plain ones come out, and the other way round.

asyncio's own TLS ends a connection as soon as the peer has said its last word, though it waits for the reply. Here the
two directions end apart from one another (RFC 8446, 6.1), as they do in clear.
"""

from __future__ import annotations

import ssl
from contextlib import suppress
from typing import Final

RECORD: Final = 2**14
"""Bytes that one record holds at most. Source: RFC 8446, 5.1."""


class Tls:
    """
    The server's side of one connection over TLS.

    Args:
        context: certificate, and what is allowed.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self.established = False
        """Whether the handshake is done."""
        self.ended = False
        """Whether the peer has said its last word."""
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    def receive(self, data: bytes) -> bytes:
        """
        Take what came; returns what it says.

        Raises:
            ssl.SSLError: it is no TLS, or none that is allowed.
        """
        self._incoming.write(data)
        plain = bytearray()
        with suppress(ssl.SSLWantReadError):
            if not self.established:
                self._object.do_handshake()
                self.established = True
            while not self.ended:
                chunk = self._object.read(RECORD)
                plain += chunk
                self.ended = not chunk
        return bytes(plain)

    def send(self, plain: bytes) -> None:
        """Encrypt what is to be said."""
        self._object.write(plain)

    def end(self) -> None:
        """Say that nothing more will be said."""
        with suppress(ssl.SSLError):
            self._object.unwrap()

    def outgoing(self) -> bytes:
        """What is to be written now."""
        return self._outgoing.read()
