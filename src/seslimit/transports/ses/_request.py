"""
What is known of one `SendEmail` request while it is made, and how a large content gets into it.

botocore encodes, copies and hashes the whole content on the event loop, for 10 MB a good tenth of a second. So for a
large content it is given a short placeholder, and the encoded content is put in its place in a thread, with the hash
that the signature needs. The request has the same body and one more signed header.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
from collections.abc import Awaitable
from contextvars import ContextVar
from typing import Any

import attrs

from .._content import LARGE

PLACEHOLDER = b"the content goes here"
"""Stands for a large content until the request is built."""

PIECE = 3 * 2**18
"""Bytes that are encoded at once: about a millisecond. A multiple of three, so that the pieces are one base64."""

CONTENT_HASH = "X-Amz-Content-SHA256"
"""Header whose value botocore signs in place of a hash of its own.

Source: AWS Signature Version 4, "Create a canonical request", read 2026-11."""


@attrs.define
class Request:
    """
    One request under way.

    Args:
        content: the message's bytes, or their base64 where they are large.
        encoded: whether `content` is base64 already.
    """

    content: bytes
    encoded: bool = False
    written_at: float | None = None
    """Event-loop time (seconds) just before the request was written, or a connection for it was looked for."""

    @property
    def data(self) -> bytes:
        """What botocore is given as the content."""
        return PLACEHOLDER if self.encoded else self.content


CURRENT: ContextVar[Request] = ContextVar("seslimit_ses_request")
"""The request that the current task makes; botocore's events do not carry anything of ours."""


def request_of(content: bytes) -> Request:
    """The request for a content; safe in a thread, where large ones are encoded."""
    if len(content) < LARGE:
        return Request(content)
    # One call for ten megabytes would keep every other thread, the event loop's too, from running meanwhile.
    view = memoryview(content)
    pieces = [base64.b64encode(view[begin : begin + PIECE]) for begin in range(0, len(view), PIECE)]
    return Request(b"".join(pieces), encoded=True)


def note_writing(**event: Any) -> None:
    """Handle botocore's `before-send`: from here on the service may have the message."""
    CURRENT.get().written_at = asyncio.get_running_loop().time()


def put_content(params: dict[str, Any], **event: Any) -> Awaitable[None] | None:
    """Handle botocore's `before-call`: put a large content where its placeholder is."""
    request = CURRENT.get()
    return _put(params, request.content) if request.encoded else None


async def _put(params: dict[str, Any], content: bytes) -> None:
    params["body"], params["headers"][CONTENT_HASH] = await asyncio.to_thread(_filled, params["body"], content)


def _filled(body: bytes, content: bytes) -> tuple[io.BytesIO, str]:
    before, found, after = body.partition(base64.b64encode(PLACEHOLDER))
    if not found:
        raise ValueError("botocore did not encode the content as base64")
    filled = b"".join((before, content, after))
    return io.BytesIO(filled), hashlib.sha256(filled).hexdigest()
