"""
AWS Signature Version 4 of a POST whose headers and path are known beforehand.

botocore signs any request; that costs more than all else that is done here for a message, for names and paths that
never change. A test holds each signature against botocore's. Pure: moment and key come as arguments.

Source:
    AWS General Reference, "Create a signed AWS API request", read 2026-11.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime

import attrs

ALGORITHM = "AWS4-HMAC-SHA256"

CONTENT_HASH = "X-Amz-Content-SHA256"
"""Header with the hash of the content, which is signed in place of one that the signer would make."""

UNSIGNED = frozenset({"user-agent", "connection", "expect", "transfer-encoding"})
"""Headers that what is on the way may change. Source: botocore 1.43, auth.SIGNED_HEADERS_BLACKLIST."""


@attrs.frozen
class Scope:
    """
    What a signature holds for.

    Args:
        day: in UTC, as YYYYMMDD.
        region: of the service.
        service: its name for signatures.
    """

    day: str
    region: str
    service: str

    def __str__(self) -> str:
        return f"{self.day}/{self.region}/{self.service}/aws4_request"


def signing_key(secret_key: str, scope: Scope) -> bytes:
    """The key that signs everything of one day, region and service."""
    key = f"AWS4{secret_key}".encode()
    for part in (scope.day, scope.region, scope.service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def signed(
    path: str, headers: Mapping[str, str], access_key: str, key: bytes, scope: Scope, at: datetime
) -> dict[str, str]:
    """
    The headers of a POST, with the date and the signature.

    Args:
        path: of the URL, in its canonical form; there is no query.
        headers: all that is sent, Host, `CONTENT_HASH` and a session token included.
        access_key: whose signature it is.
        key: the signing key of the scope.
        scope: of the moment.
        at: the moment, in UTC.
    """
    time = at.strftime("%Y%m%dT%H%M%SZ")
    sent = {**headers, "X-Amz-Date": time}
    canonical = sorted((name.lower(), " ".join(value.split())) for name, value in sent.items())
    chosen = [(name, value) for name, value in canonical if name not in UNSIGNED]
    names = ";".join(name for name, _ in chosen)
    lines = "".join(f"{name}:{value}\n" for name, value in chosen)
    request = f"POST\n{path}\n\n{lines}\n{names}\n{headers[CONTENT_HASH]}"
    to_sign = f"{ALGORITHM}\n{time}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
    sent["Authorization"] = f"{ALGORITHM} Credential={access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
    return sent
