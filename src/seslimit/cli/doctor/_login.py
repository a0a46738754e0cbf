"""
`seslimit doctor`: whether an SMTP login is good, and why it may not be.

Invariant: the password is only measured here.
"""

from __future__ import annotations

import base64
import re

from ..._model.errors import TransportError
from ..._model.outcome import Outcome
from ...transports.smtp import PASSWORD, USER, SMTPTransport
from ...transports.smtp._reply import SMTPReply
from .._ending import Status
from ._checks import Diagnosis

SECRET_ACCESS_KEY_LENGTH = 40
"""Characters of an AWS secret access key; an SMTP password of SES has 44."""

SES_HOST = re.compile(r"email-smtp(?:-fips)?\.(?P<region>[a-z0-9-]+)\.(?:amazonaws\.com(?:\.cn)?|api\.aws)")
"""Host of an SMTP endpoint. Source: AWS General Reference, "Amazon SES endpoints and quotas"; 2026-11."""

_SET_LOGIN = f"put them in the URL, or in {USER} and {PASSWORD}"


def hide_login(transport: SMTPTransport, found: Diagnosis) -> None:
    """Keep the password out of what is quoted, as it is and as it goes over the wire."""
    if transport.user is None or transport.password is None:
        return
    user, password = transport.user, transport.password.reveal()
    plain = f"\0{user}\0{password}"
    found.hide(password, *(base64.b64encode(text.encode()).decode() for text in (password, plain)))


def login_given(transport: SMTPTransport, offers: SMTPReply | None, found: Diagnosis) -> bool:
    """
    Whether there was a login; it was accepted then.

    Args:
        transport: host, user and password.
        offers: what the service said of itself.
        found: takes the check.
    """
    if transport.user is not None and transport.password is not None:
        found.ok("login", "accepted")
        return True
    words = f"no SMTP user and password are given: {_SET_LOGIN}"
    if is_ses(transport, offers):
        found.wrong("login", f"{words}; SES takes no message without them")
    else:
        found.warn("login", f"{words}, unless the server takes messages without")
    return False


def is_ses(transport: SMTPTransport, offers: SMTPReply | None) -> bool:
    """Whether the server is SES, which takes nothing without a login."""
    return bool(SES_HOST.fullmatch(transport.host.lower())) or (
        offers is not None and "amazonaws.com" in offers.message.partition("\n")[0].lower()
    )


def login_refused(transport: SMTPTransport, error: TransportError, found: Diagnosis) -> None:
    """Note that the login was not accepted, and why."""
    reply = found.quote(error)
    if error.outcome is not Outcome.ACCOUNT_BLOCKED:
        found.wrong("login", f"no login now ({reply}): try again in a minute", Status.REMAINING)
    elif not re.match(r"5\d\d ", reply):
        # Nothing was refused: the transport found nothing to log in with, and says what to look at.
        found.wrong("login", reply)
    elif "not subscribed" in reply.lower():
        found.wrong("login", f"the AWS account is not signed up for SES ({reply}): open the SES console once")
    else:
        found.wrong("login", f"user or password were refused ({reply}): {_why(transport)}")


def _why(transport: SMTPTransport) -> str:
    user = transport.user or ""
    password = transport.password.reveal() if transport.password else ""
    if user.startswith("ASIA"):
        return "temporary AWS credentials (ASIA…) have no SMTP password; create SMTP credentials in the SES console"
    if len(password) == SECRET_ACCESS_KEY_LENGTH:
        return (
            "the password looks like an AWS secret access key, which is no SMTP password: one is derived "
            "from it, for one region; create SMTP credentials in the SES console"
        )
    return (
        "SMTP credentials are not IAM keys and hold for one region only; check both in the URL or in the environment "
        f"({USER}, {PASSWORD}); new ones are known after a minute or two"
    )
