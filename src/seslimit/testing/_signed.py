"""
Whether a request is signed with the secret that it should be: Signature Version 4, computed anew.

Pure. It is not the code that signs for the transport: what checks a signature has to be able to find it wrong.

Source:
    AWS General Reference, "Create a signed AWS API request", read 2026-11.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable
from urllib.parse import quote, unquote

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/(?P<scope>(?P<day>[0-9]{8})/(?P<region>[^/]+)/(?P<service>[^/]+)"
    r"/aws4_request), ?SignedHeaders=(?P<names>[^,]+), ?Signature=(?P<signature>[0-9a-f]{64})"
)


def signature_fault(
    key: tuple[str, str], method: str, path: str, query: str, header: Callable[[str], str], content: bytes
) -> str | None:
    """
    The error of a request whose signature is missing or wrong; None where it is right.

    Args:
        key: the access key id and the secret that it has to be signed with.
        method: of the request.
        path: of its URL, as it came.
        query: of its URL; empty for none.
        header: a header's value by its name; empty where it is not there.
        content: of the request.
    """
    found = _AUTHORIZATION.fullmatch(header("authorization"))
    if found is None:
        return "MissingAuthenticationTokenException"
    access, secret = key
    if found["key"] != access:
        return "UnrecognizedClientException"
    digest = header("x-amz-content-sha256") or hashlib.sha256(content).hexdigest()
    if digest not in ("UNSIGNED-PAYLOAD", hashlib.sha256(content).hexdigest()):
        return "SignatureDoesNotMatch"
    names = found["names"].split(";")
    lines = "".join(f"{name}:{' '.join(header(name).split())}\n" for name in names)
    canonical = "\n".join([method, quote(unquote(path), safe="/~"), _sorted(query), lines, found["names"], digest])
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    to_sign = f"AWS4-HMAC-SHA256\n{header('x-amz-date')}\n{found['scope']}\n{hashed}"
    signing = f"AWS4{secret}".encode()
    for part in (found["day"], found["region"], found["service"], "aws4_request"):
        signing = hmac.digest(signing, part.encode(), "sha256")
    made = hmac.digest(signing, to_sign.encode(), "sha256").hex()
    return None if hmac.compare_digest(made, found["signature"]) else "SignatureDoesNotMatch"


def _sorted(query: str) -> str:
    return "&".join(sorted(part if "=" in part else f"{part}=" for part in query.split("&"))) if query else ""
