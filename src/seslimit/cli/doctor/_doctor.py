"""
`seslimit doctor`: what is wrong with a transport's set-up, found without sending a message.

Decides which examination a URL gets. The first check is the URL itself, with what has to be installed for it.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import cast

from ..._meaning.classify import classify
from ..._model.errors import ConfigurationError, TransportError, printable
from ..._model.outcome import Outcome
from ...transports import KnowsQuota, Transport, TransportURL, transport_from_url
from .._ending import Status, shown
from ._account import quota_checks
from ._checks import Check, Diagnosis

PATIENCE = 10.0
"""Seconds for one step: a name, a connection, a handshake, an answer."""

_CLIENT = {"ses": "aiobotocore"}
"""Scheme → the distribution that talks to the service, where it is not seslimit itself."""


async def diagnose(url: str, tell: Callable[[Check], None], patience: float = PATIENCE) -> Diagnosis:
    """
    Look at everything that can be looked at without sending a message.

    Args:
        url: the transport's URL.
        tell: called with each check as it is made.
        patience: seconds for one step.
    """
    found = Diagnosis(tell)
    try:
        scheme = TransportURL.parse(url).scheme
        transport = transport_from_url(url)
    except ConfigurationError as error:
        found.wrong("url", str(error))
    except ImportError as error:
        found.wrong("url", f"the package that {shown(url)} needs cannot be imported ({printable(str(error))})")
    else:
        client = f", with {_CLIENT[scheme]} {version(_CLIENT[scheme])}" if scheme in _CLIENT else ""
        found.ok("url", f"{shown(url)} is well formed{client}")
        try:
            await _examine(scheme, transport, found, patience)
        finally:
            await transport.aclose()
    return found


async def _examine(scheme: str, transport: Transport, found: Diagnosis, patience: float) -> None:
    if scheme == "ses":
        from ...transports.ses import SESTransport
        from ._ses import examine_ses

        await examine_ses(cast("SESTransport", transport), found, patience)
    elif scheme in ("smtp", "smtps"):
        from ...transports.smtp import SMTPTransport
        from ._smtp import examine_smtp

        await examine_smtp(cast("SMTPTransport", transport), found, patience)
    else:
        await _examine_other(scheme, transport, found)


async def _examine_other(scheme: str, transport: Transport, found: Diagnosis) -> None:
    """Ask a transport that is not of SES for what every transport may tell."""
    whose = (
        "the simulator, which nothing has to be set up for" if scheme == "sim" else f"the service behind {scheme}://"
    )
    if not isinstance(transport, KnowsQuota):
        found.leave(f"{whose}: its transport tells no sending quota, so only a message shows whether it works")
        return
    try:
        quota = await transport.quota()
    except Exception as error:  # noqa: BLE001  # a plug-in's own errors are classified, as for an attempt
        outcome = error.outcome if isinstance(error, TransportError) else classify(error)
        wrong_set_up = isinstance(error, ConfigurationError)
        blocked = outcome is Outcome.ACCOUNT_BLOCKED
        status = Status.WRONG_USAGE if wrong_set_up else Status.ACCOUNT_BLOCKED if blocked else Status.REMAINING
        found.wrong(
            "account",
            f"asked for its sending quota, {whose} failed: {found.quote(error) or type(error).__name__}",
            status,
        )
        return
    if quota is None:
        found.ok("account", f"{whose}, answers")
        found.leave("quota and rate: they are not told here, so the rate is learned by sending")
        return
    found.take(quota_checks(quota))
