"""The SMTP password that belongs to an AWS secret access key."""

from __future__ import annotations

import base64
import hashlib
import hmac

VERSION = 0x04
"""First octet of a password made with signature version 4."""

DERIVATION_DATE = "11111111"
"""The date that stands for "any" in the signing key."""


def derive_smtp_password(secret_key: str, region: str) -> str:
    """
    The SMTP password of an IAM user for one region.

    The user name is the access key id. Temporary credentials (with a session token) have no SMTP password.

    Args:
        secret_key: the AWS secret access key.
        region: the region of the SMTP endpoint, for example "eu-west-1".

    Source:
        Amazon SES Developer Guide, "Obtaining Amazon SES SMTP credentials", read 2026-11.
    """
    key = ("AWS4" + secret_key).encode()
    for part in (DERIVATION_DATE, region, "ses", "aws4_request", "SendRawEmail"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return base64.b64encode(bytes([VERSION]) + key).decode("ascii")
