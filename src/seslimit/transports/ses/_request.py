"""
The body of one `SendEmail` request.

Made here because botocore's serialiser encodes, copies and hashes the whole content on the event loop, for 10 MB a good
tenth of a second.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from ..._model.message import Message
from .._labels import CONFIGURATION_SET, TAGS, TENANT, own_labels

PIECE = 3 * 2**18
"""Bytes that are encoded at once: about a millisecond. A multiple of three, so that the pieces are one base64."""

_HEADERS = {"ConfigurationSetName": CONFIGURATION_SET, "TenantName": TENANT, "EmailTags": TAGS}
"""What a request says beside its content, and the header of a message that says the same."""


@attrs.frozen
class Body:
    """
    The body of a request.

    Args:
        content: its bytes.
        digest: their SHA-256, which is signed.
    """

    content: bytes = attrs.field(repr=False)
    digest: str


def body_of(message: Message, labels: Mapping[str, Any], content: bytes) -> Body:
    """
    The body for a message; safe in a thread.

    The envelope decides, not the headers: for raw content the service sends to all of Destination, in whichever of its
    three lists, and to nobody else, so that Bcc recipients need no header.

    Args:
        message: its envelope is used.
        labels: what is the same in every request; what the message says of the same in its own headers wins.
        content: the message's bytes.
    """
    own = own_labels(content) if labels else frozenset()
    before, after = json.dumps(
        {
            "FromEmailAddress": message.mail_from,
            "Destination": {"ToAddresses": message.recipients},
            **{name: value for name, value in labels.items() if _HEADERS.get(name) not in own},
            "Content": {"Raw": {"Data": ""}},
        }
    ).rsplit('""', 1)
    body = b"".join((before.encode(), b'"', *_encoded(content), b'"', after.encode()))
    return Body(body, hashlib.sha256(body).hexdigest())


def _encoded(content: bytes) -> Iterable[bytes]:
    # One call for ten megabytes would keep every other thread, the event loop's too, from running meanwhile.
    view = memoryview(content)
    return [base64.b64encode(view[begin : begin + PIECE]) for begin in range(0, len(view), PIECE)]
