"""
Certificates for the simulator's SMTP door: one that is made on the spot, or one that is given.

A certificate that is made here is signed by an authority of its own, which lives as long as the process; what a client
has to trust is written to a file.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from .._model.errors import ConfigurationError

NAMES = ("localhost", "127.0.0.1", "::1")
"""What the simulator can be called on this machine."""


def given_certificate(certificate: Path, key: Path | None = None) -> ssl.SSLContext:
    """
    A server's context with a certificate of the user's own.

    Args:
        certificate: file in PEM, the chain included.
        key: file in PEM; None where the certificate's file has it.

    Raises:
        ConfigurationError: a file cannot be read, or the two do not fit together.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key)
    except OSError as error:
        named = certificate if key is None else f"{certificate} with {key}"
        raise ConfigurationError(
            f"{named} is no certificate in PEM with its key ({error.strerror or error})."
        ) from None
    return context


def own_certificate(authority_file: Path) -> ssl.SSLContext:
    """
    A server's context with a certificate made for this run.

    Args:
        authority_file: where to write the authority that clients have to trust, in PEM.

    Raises:
        ConfigurationError: the package trustme is not installed.
    """
    try:
        import trustme
    except ModuleNotFoundError:
        raise ConfigurationError(
            "a certificate of its own needs the package trustme: run  pip install trustme  or give --cert and --key."
        ) from None
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(authority_file))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*NAMES).configure_cert(context)
    return context
