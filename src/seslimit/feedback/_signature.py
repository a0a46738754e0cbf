"""
Whether SNS has signed an envelope: certificates, fetched once and kept, and the signature itself.

Invariants: a certificate comes from SNS's own host over verified HTTPS, without redirects, within a size and a time; it
names SNS, and is valid now; what fails to come is an error of this moment, and no verdict about the message.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING

import attrs

from ._envelope import Envelope, certificate_url
from ._events import InvalidFeedback

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

MAX_CERTIFICATE = 16_384
"""Bytes: SNS's certificate has 2 kB."""

MOST_KEPT = 16
"""Certificates: SNS changes its own about once a year, for each Region."""

_NAMES = ("sns.amazonaws.com",)
"""Names of SNS in its certificates, beside that of the Region's host."""


class CertificateUnavailable(Exception):  # it is about a moment, not about the message
    """The certificate could not be fetched; the message should be delivered again."""


@attrs.define(eq=False)
class Verifier:
    """
    Checks signatures.

    Args:
        fetch: the body behind an HTTPS URL, of at most `MAX_CERTIFICATE` bytes; raises `CertificateUnavailable`.
    """

    _fetch: Callable[[str], Awaitable[bytes]]
    _kept: dict[str, Certificate] = attrs.field(factory=dict, init=False)

    async def check(self, envelope: Envelope, now: datetime) -> None:
        """
        Whether the signature of an envelope is SNS's.

        Args:
            envelope: checked in everything else.
            now: the present moment, in UTC.

        Raises:
            InvalidFeedback: it is not.
            CertificateUnavailable: that cannot be said now.
        """
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding, rsa

        key = (await self._certificate(envelope, now)).public_key()
        if not isinstance(key, rsa.RSAPublicKey):
            raise InvalidFeedback("its certificate has no RSA key.")
        digest = hashes.SHA256() if envelope.fields["SignatureVersion"] == "2" else hashes.SHA1()  # noqa: S303
        try:
            signature = base64.b64decode(envelope.fields["Signature"], validate=True)
            key.verify(signature, envelope.signed(), padding.PKCS1v15(), digest)
        except (InvalidSignature, binascii.Error, ValueError):
            raise InvalidFeedback("its signature is not that of SNS over these fields.") from None

    async def _certificate(self, envelope: Envelope, now: datetime) -> Certificate:
        from cryptography import x509

        url = certificate_url(envelope.fields["SigningCertURL"])
        kept = self._kept.get(url)
        if kept is None or not _valid(kept, now):
            try:
                kept = x509.load_pem_x509_certificate(await self._fetch(url))
            except ValueError:
                raise InvalidFeedback("what is behind its SigningCertURL is no certificate.") from None
            self._check(kept, url, now)
            while len(self._kept) >= MOST_KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[url] = kept
        return kept

    def _check(self, certificate: Certificate, url: str, now: datetime) -> None:
        from cryptography import x509

        host = url.split("/")[2]
        names = {str(name.value) for name in certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)}
        try:
            alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            names |= set(alternatives.get_values_for_type(x509.DNSName))
        except (x509.ExtensionNotFound, ValueError):
            pass
        if not names & {*_NAMES, host}:
            raise InvalidFeedback("its certificate was not made for SNS.")
        if not _valid(certificate, now):
            raise InvalidFeedback("its certificate is not valid now.")


def _valid(certificate: Certificate, now: datetime) -> bool:
    return certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc
