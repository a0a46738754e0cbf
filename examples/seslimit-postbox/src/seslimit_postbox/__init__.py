"""A transport of seslimit for Postbox, an HTTP mail service that stands for any of its kind: `postbox://`."""

from ._transport import PostboxTransport, from_url

__all__ = ["PostboxTransport", "from_url"]
