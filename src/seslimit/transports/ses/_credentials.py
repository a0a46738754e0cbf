"""
Credentials from the AWS chain, and one sentence where it has none to give.

Decides what of the chain's many failures is told. Whatever it is, no request was made and the set-up of this machine is
at fault, so that it is a `ConfigurationError`: every message would meet the same.

Invariant: the sentence is one line, and holds no secret.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

from aiobotocore.session import AioSession
from botocore.credentials import CredentialProvider
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    MissingDependencyException,
    NoCredentialsError,
    NoRegionError,
    ProfileNotFound,
)

from ..._model.errors import ConfigurationError, printable

# aiobotocore, unlike botocore, has no handler of its own: where a program sets none up either, Python would print its
# warnings, and with them the traceback of a failed renewal whose sentence is told anyway.
logging.getLogger("aiobotocore").addHandler(logging.NullHandler())

CHAIN_FAILURES = (
    BotoCoreError,
    ClientError,
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    RuntimeError,
    EOFError,
)
"""What looking for credentials ends in: programs, files, other services, and what botocore makes of their answers."""

_CLEAN = re.compile(r"[\x21-\x7e]*")
_NONE = "no AWS credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a profile, or use a role."
_REMEDY = "look at the AWS profile and the environment, or sign in again (aws sso login, aws configure)"


def session_for(profile: str | None) -> AioSession:
    """
    A session that finds credentials as the AWS command line does, but asks nobody for a code.

    Raises:
        ConfigurationError: there is no such profile, or the configuration cannot be read.
    """
    try:
        session = AioSession(profile=profile)
        session.get_component("credential_provider").insert_before("assume-role", _NoCodes(session))
    except CHAIN_FAILURES as error:
        raise wrong_set_up(error) from None
    return session


def wrong_set_up(error: Exception) -> ConfigurationError:
    """The sentence for what the AWS chain, or the making of a client, ended in."""
    match error:
        case ConfigurationError():
            return error
        case NoCredentialsError():
            return ConfigurationError(_NONE)
        case NoRegionError():
            return ConfigurationError("no AWS region: write ses://eu-west-1, or set AWS_DEFAULT_REGION.")
        case ProfileNotFound():
            name = printable(repr(error.kwargs.get("profile")))
            return ConfigurationError(f"there is no AWS profile {name} on this machine: see ~/.aws/config.")
        case MissingDependencyException():
            return ConfigurationError(
                "a multi-region endpoint is signed for with the package awscrt: install botocore[crt]."
            )
    lines = (str(error).strip() or type(error).__name__).splitlines()
    return ConfigurationError(f"the AWS set-up of this machine fails ({printable(lines[0]).rstrip('. ')}): {_REMEDY}.")


def unclean(access_key: str, secret_key: str, token: str | None) -> ConfigurationError | None:
    """The sentence for credentials that no header can hold, as with a newline at the end of one; None for others."""
    named = (("access key id", access_key), ("secret access key", secret_key), ("session token", token))
    wrong = next((name for name, text in named if not _CLEAN.fullmatch(text or "")), None)
    if wrong is None:
        return None
    return ConfigurationError(
        f"the AWS {wrong} holds a blank, a newline or another character that none has: copy it anew, without line ends."
    )


class _NoCodes(CredentialProvider):  # type: ignore[misc] # botocore has no types
    """
    Ends the chain where the next provider would ask for an MFA code on the terminal.

    Nobody may be there to type one, and the event loop would stand still until somebody does.
    """

    METHOD = "seslimit-no-codes"
    CANONICAL_NAME = None

    def __init__(self, session: AioSession) -> None:
        super().__init__()
        self._session = session

    async def load(self) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]  # as aiobotocore's do
        """Look at the profile, and at those that it takes its credentials from; there are never any here."""
        profiles: Mapping[str, Mapping[str, Any]] = self._session.full_config.get("profiles", {})
        name: str | None = self._session.get_config_variable("profile") or "default"
        seen: set[str] = set()
        while name is not None and name not in seen and "role_arn" in profiles.get(name, {}):
            seen.add(name)
            if "mfa_serial" in profiles[name]:
                raise CredentialRetrievalError(
                    provider="assume-role", error_msg=f"the profile {name!r} needs an MFA code, and nobody is asked"
                )
            name = profiles[name].get("source_profile")
