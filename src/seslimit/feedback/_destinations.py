"""
Where events go out of the box: a file, and a webhook of the user's; `_listmonk` has the third.

Each turns an event into the parts that it delivers, and says whether one that was not taken ever will be.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import mmap
import os
import time
from collections.abc import Sequence
from pathlib import Path

from .._model.errors import ConfigurationError
from ._events import Event
from ._feed import Part, Unavailable
from ._posting import Posting


class JSONLines:
    """
    Appends every event to a file, one JSON object a line, once.

    Args:
        path: the file.

    Raises:
        ConfigurationError: it cannot be written.
    """

    name = "file"

    def __init__(self, path: str | os.PathLike[str]) -> None:
        try:
            self._file = Path(path).open("a", encoding="utf-8")  # noqa: SIM115  # open as long as this object
        except OSError as error:
            raise ConfigurationError(f"{os.fspath(path)} cannot be written: {error.strerror}.") from error
        self._lock = asyncio.Lock()

    def parts(self, event: Event) -> Sequence[Part]:
        """The event as a line."""
        return (Part("", json.dumps(event.as_dict(), default=str)),)

    async def deliver(self, part: Part) -> None:
        """Write the line, whole; it has reached the disk when this returns."""
        async with self._lock:
            try:
                await asyncio.to_thread(self._write, part.payload + "\n")
            except OSError as error:
                raise Unavailable(str(error.strerror)) from error

    async def has(self, part: Part) -> bool:
        """Whether the line is in the file."""
        line = f"{part.payload}\n".encode()
        async with self._lock:
            try:
                return await asyncio.to_thread(_holds, self._file.name, line)
            except OSError as error:
                raise Unavailable(str(error.strerror)) from error

    async def aclose(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, line: str) -> None:
        begun = self._file.tell()
        try:
            self._file.write(line)
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError:
            # A full disk takes half a line: what is not whole must not stand in front of the next.
            self._file.close()
            self._file = Path(self._file.name).open("a", encoding="utf-8")  # noqa: SIM115
            self._file.truncate(begun)
            raise


def _holds(path: str, line: bytes) -> bool:
    with Path(path).open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return False
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return content[: len(line)] == line or content.find(b"\n" + line) >= 0


class Webhook(Posting):
    """
    Posts every event as JSON to a URL of the user's, signed as Standard Webhooks has it.

    At least once: where the process is killed, or an answer is lost, a post comes again with the same `webhook-id`.

    Args:
        url: where to.
        secret: signs what is posted, at least 24 characters; `whsec_` and base64 as that specification writes it, or
            any other text. Never shown.

    Raises:
        ConfigurationError: no such URL, or a secret that is too short.

    Source:
        Standard Webhooks specification 1.0: headers webhook-id, webhook-timestamp and webhook-signature, which is
        "v1," and the base64 of HMAC-SHA256 over "id.timestamp.body"; read 2026-11.
    """

    name = "webhook"

    def __init__(self, url: str, secret: str) -> None:
        super().__init__(url)
        if len(secret) < 24:
            raise ConfigurationError("the webhook's secret is shorter than 24 characters: make a longer one.")
        try:
            written = secret.removeprefix("whsec_")
            self._key = base64.b64decode(written, validate=True) if written != secret else secret.encode()
        except ValueError:
            raise ConfigurationError("the webhook's secret begins with whsec_, and no base64 follows.") from None

    def parts(self, event: Event) -> Sequence[Part]:
        """The event, with the id that the receiver tells repetitions by."""
        payload = json.dumps(event.as_dict(), default=str).encode()
        return (Part("", (hashlib.sha256(event.id.encode("utf-8", "surrogatepass")).hexdigest(), payload)),)

    async def deliver(self, part: Part) -> None:
        """Post it, with the moment and the signature of this try."""
        identity, body = part.payload
        at = str(int(time.time()))
        digest = hmac.digest(self._key, f"{identity}.{at}.".encode() + body, "sha256")
        signature = f"v1,{base64.b64encode(digest).decode()}"
        await self._post(body, {"webhook-id": identity, "webhook-timestamp": at, "webhook-signature": signature})
