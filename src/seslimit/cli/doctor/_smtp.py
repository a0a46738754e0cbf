"""
`seslimit doctor` on the SMTP door: region, port, endpoint, the session, the login.

Decides in which order, and what is left out where something that the rest stands on is wrong.
"""

from __future__ import annotations

from ...transports.ses._inquiry import known_regions
from ...transports.smtp import SMTPTransport
from ...transports.smtp._options import untrusting_context, verifying_context
from ._checks import Diagnosis
from ._login import SES_HOST, hide_login
from ._reach import Place, connected, resolves
from ._session import Session

IMPLICIT = (465, 2465)
"""Ports of SES that begin with TLS. Source: Amazon SES Developer Guide, "Connecting to an SMTP endpoint"; 2026-11."""

STARTTLS = (587, 2587, 25)
"""Ports of SES that begin in clear. Source: as above."""

THROTTLED = 25
"""Port that EC2 throttles. Source: as above."""

_NOT_TOLD = "sandbox, quota, rate, sending paused: SMTP does not tell them"
_SENDING = "whether this user may send (ses:SendRawEmail) and from which address: only a message shows it"


async def examine_smtp(transport: SMTPTransport, found: Diagnosis, patience: float) -> None:
    """
    Look at the SMTP door, as far as one thing rests on another.

    Args:
        transport: names host, port, TLS and login.
        found: takes the checks.
        patience: seconds for one step.
    """
    hide_login(transport, found)
    region = _region(transport, found)
    place = Place(transport.host, transport.port, patience)
    context = transport.tls_context or (untrusting_context() if transport.tls == "none" else verifying_context())
    if not _port(transport, found):
        found.leave("endpoint, greeting, TLS", "login")
    elif await _reached(place, found, mistyped=region not in (None, *known_regions())):
        session = Session(transport, place, found)
        if await session.run(context):
            found.leave(_SENDING)
        elif not found.has("login"):
            found.leave("login")
    else:
        found.leave("greeting, TLS", "login")
    ask = f"; ask for them with  seslimit doctor --to ses://{region or 'REGION'}"
    found.leave(_NOT_TOLD + ask)


def _region(transport: SMTPTransport, found: Diagnosis) -> str | None:
    match = SES_HOST.fullmatch(transport.host.lower())
    region = match["region"] if match else None
    if region is None:
        found.ok("region", f"{transport.host} names none: it is taken as it is")
    elif region in known_regions():
        found.ok("region", f"{region} (from the host); SMTP credentials and quotas are of this region")
    else:
        found.warn("region", f"{region} is no region that botocore knows SES in: write for example eu-west-1")
    return region


def _port(transport: SMTPTransport, found: Diagnosis) -> bool:
    """Whether the port goes with the scheme."""
    port, implicit = transport.port, transport.tls == "implicit"
    if port in (STARTTLS if implicit else IMPLICIT) and transport.tls != "none":
        meant = "smtp://, or port 465" if implicit else "smtps://, or port 587"
        found.wrong(
            "port", f"{port} {_begins(not implicit)}, but {_scheme(implicit)} {_begins(implicit)}: write {meant}"
        )
        return False
    if port not in (*STARTTLS, *IMPLICIT) and SES_HOST.fullmatch(transport.host.lower()):
        found.wrong("port", f"SES does not listen on {port}: use 587 or 2587, or smtps:// with 465 or 2465")
        return False
    if port == THROTTLED:
        found.warn(
            "port", "EC2 throttles 25, and many networks close it: use 587 or 2587, or smtps:// with 465 or 2465"
        )
    else:
        found.ok("port", f"{port}, which {_begins(implicit)}")
    return True


def _begins(implicit: bool) -> str:
    return "begins with TLS" if implicit else "begins without TLS"


def _scheme(implicit: bool) -> str:
    return "smtps://" if implicit else "smtp://"


async def _reached(place: Place, found: Diagnosis, *, mistyped: bool) -> bool:
    """Whether a connection can be made."""
    remedy = "check the region in the host's name" if mistyped else "check the host and this machine's name server"
    if not await resolves(place, found, remedy, mistyped=mistyped):
        return False
    streams = await connected(place, found, _other_ports(place.port))
    if streams is None:
        return False
    streams[1].transport.abort()
    return True


def _other_ports(port: int) -> str:
    others = ", ".join(str(other) for other in (587, 465, 2587, 2465) if other != port)
    return f"does a firewall forbid port {port}? SES also listens on {others} (smtps:// for 465 and 2465)"
