"""The transport keeps the contract of seslimit's transports."""

from __future__ import annotations

from seslimit.testing.conformance import TransportConformance

from .postbox import TOKEN, Postbox


class TestPostboxTransport(TransportConformance):
    """On a Postbox of its own."""

    url = f"postbox://:{TOKEN}@mail.example.org?timeout=5"

    def service(self, patience: float) -> Postbox:
        """A Postbox on loopback."""
        return Postbox(timeout=patience)
