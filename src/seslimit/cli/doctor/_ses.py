"""`seslimit doctor` on the API door: region, endpoint, TLS, credentials, clock, and what the account says of itself."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from urllib.parse import urlsplit

import attrs

from ..._model.errors import ConfigurationError, TransportError
from ..._model.outcome import Outcome
from ..._model.quota import SendQuota
from ...transports.ses import GET_ACCOUNT_RATE, SESTransport
from ...transports.ses._inquiry import Answer, Inquiry, inquiring, known_regions
from .._ending import Status
from ._account import about_the_clock, account_checks, clock_check, refusal_of
from ._checks import Diagnosis, State
from ._reach import Place, connected, resolves, secured

ASKED = 3
"""Times that the account is asked, a second apart: others may be asking too."""

_ACCOUNT = "sandbox, quota, rate, sending paused"
_SENDING = (
    "whether these credentials may send (ses:SendEmail, ses:SendRawEmail), and from which address: only a message "
    "shows it"
)
_NO_CREDENTIALS = (
    "no AWS credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a profile "
    "(ses://REGION?profile=NAME), or give this machine a role"
)
_NO_TOKEN = "temporary credentials (ASIA…) without their session token: set AWS_SESSION_TOKEN too"  # noqa: S105


async def examine_ses(transport: SESTransport, found: Diagnosis, patience: float) -> None:
    """
    Look at the API door, as far as one thing rests on another.

    Args:
        transport: names region, profile and endpoint.
        found: takes the checks.
        patience: seconds for one step.
    """
    try:
        async with inquiring(transport, patience) as inquiry:
            await _examine(inquiry, transport, found, patience)
    except ConfigurationError as error:
        found.wrong("aws", str(error))
        found.leave("endpoint, TLS", "credentials", "clock", _ACCOUNT)


async def _examine(inquiry: Inquiry, transport: SESTransport, found: Diagnosis, patience: float) -> None:
    known = _region(inquiry, transport, found)
    if not await _endpoint(inquiry, found, patience, known=known):
        found.leave("credentials", "clock", _ACCOUNT)
        return
    key = await _credentials(inquiry, found)
    if key is None:
        found.leave("clock", _ACCOUNT)
        return
    try:
        answer = await _asked(inquiry, found)
    except TransportError as error:
        _unanswered(error, found)
        found.leave("clock", *(() if found.has("credentials") else ("credentials",)), _ACCOUNT)
        return
    _judge(answer, key, found)


def _region(inquiry: Inquiry, transport: SESTransport, found: Diagnosis) -> bool:
    known = inquiry.region in known_regions()
    if not known:
        found.warn(
            "region",
            f"there is no SES in the region {inquiry.region}, as far as botocore knows: write for example eu-west-1",
        )
    else:
        told = "from the URL" if transport.region else "from the environment or the profile"
        found.ok("region", f"{inquiry.region} ({told}); quotas, identities and the sandbox are of this region")
    return known


async def _endpoint(inquiry: Inquiry, found: Diagnosis, patience: float, *, known: bool) -> bool:
    """Whether the endpoint is there."""
    if inquiry.proxy is not None:
        found.hide(inquiry.proxy.login)
        found.ok("endpoint", f"{inquiry.endpoint_url} is asked through the proxy {inquiry.proxy.place}")
        found.leave("TLS, because of the proxy")
        return True
    url = urlsplit(inquiry.endpoint_url)
    place = Place(url.hostname or "", url.port or (443 if url.scheme == "https" else 80), patience)
    remedy = "check the region" if not known else "check endpoint_url, the region and this machine's name server"
    if not await resolves(place, found, remedy, mistyped=not known):
        found.leave("TLS")
        return False
    remedy = f"does a firewall, or a network without a way out, forbid port {place.port}?"
    streams = await connected(place, found, remedy)
    if streams is None:
        found.leave("TLS")
        return False
    try:
        if url.scheme == "https":
            return await _tls(inquiry, place, streams, found)
        found.ok("tls", "none, which is accepted for this machine only")
        return True
    finally:
        streams[1].transport.abort()


async def _tls(
    inquiry: Inquiry, place: Place, streams: tuple[asyncio.StreamReader, asyncio.StreamWriter], found: Diagnosis
) -> bool:
    try:
        context = inquiry.tls_context()
    except OSError:
        found.wrong("tls", "the file of trusted authorities cannot be read: check AWS_CA_BUNDLE and ca_bundle")
        return False
    hint = "is it the API's endpoint? It begins with TLS"
    return await secured(place, streams, context, found, trust="AWS_CA_BUNDLE", hint=hint)


async def _credentials(inquiry: Inquiry, found: Diagnosis) -> str | None:
    """Words for the access key; None where there is none. What it is worth is for the service to say."""
    try:
        credentials = await inquiry.credentials()
    except TransportError as error:
        found.wrong("credentials", f"the AWS chain could not get credentials: {found.quote(error)}")
        return None
    if credentials is None:
        found.wrong("credentials", _NO_CREDENTIALS)
        return None
    found.hide(*credentials.secrets)
    key, source = credentials.access_key_id, credentials.source
    if credentials.lacks_token:
        found.wrong("credentials", _NO_TOKEN)
        return None
    return f"the access key {key[:4]}…{key[-4:]} (from {source})"


async def _timed(inquiry: Inquiry) -> tuple[datetime, Answer, datetime]:
    began_at = datetime.now(UTC)
    answer = await inquiry.account()
    return began_at, answer, datetime.now(UTC)


async def _asked(inquiry: Inquiry, found: Diagnosis) -> Answer:
    """The account's answer, and a check of our clock by it."""
    began_at, answer, ended_at = await _timed(inquiry)
    for _ in range(ASKED - 1):
        if answer.http_status != 429:
            break
        await asyncio.sleep(1 / GET_ACCOUNT_RATE)
        began_at, answer, ended_at = await _timed(inquiry)
    if answer.served_at is None:
        found.leave("clock: the answer has no date")
    else:
        # The header has whole seconds, rounded down: half a second more is the best guess.
        middle = began_at + (ended_at - began_at) / 2
        found.take([clock_check((middle - answer.served_at).total_seconds() - 0.5)])
    return answer


def _unanswered(error: TransportError, found: Diagnosis) -> None:
    words = found.quote(error)
    if error.outcome is Outcome.ACCOUNT_BLOCKED:
        found.wrong("credentials", f"the AWS chain could not get credentials: {words}")
    elif error.outcome is Outcome.NOT_SENT:
        found.wrong("answer", f"no answer to GetAccount ({words}): try again", Status.REMAINING)
    else:
        found.wrong("answer", f"no answer to GetAccount that can be read ({words}): check endpoint_url and region")


def _judge(answer: Answer, key: str, found: Diagnosis) -> None:
    if not answer.code:
        _answered(answer, key, found)
        return
    said = found.quote(f"{answer.code} {answer.words}".strip())
    if about_the_clock(answer.code, answer.words):
        _refused_for_the_clock(said, found)
        return
    refusal = refusal_of(answer.code, answer.http_status)
    if refusal.state is State.WARNING:
        found.ok("credentials", f"the service knows {key}")
    else:
        said = f"{said}; with {key}"
    found.take([attrs.evolve(refusal, words=f"{refusal.words} ({said})")])
    found.leave(_ACCOUNT)
    if refusal.state is State.WARNING:
        found.leave(_SENDING)


def _refused_for_the_clock(said: str, found: Diagnosis) -> None:
    found.leave(_ACCOUNT)
    if found.status is Status.ALL_ACCEPTED:
        found.wrong(
            "credentials", f"the service refused the time of the signature ({said}): turn on time synchronisation"
        )
    else:
        found.leave(f"credentials, which were refused for the clock ({said})")


def _answered(answer: Answer, key: str, found: Diagnosis) -> None:
    figures = answer.account.get("SendQuota", {})
    if "MaxSendRate" not in figures:
        found.wrong("answer", "it tells no SendQuota, as the SES API v2 does: check endpoint_url")
        return
    found.ok("credentials", f"the service knows {key}")
    found.ok("permission", "ses:GetAccount is allowed")
    quota = SendQuota(figures.get("Max24HourSend", -1.0), figures["MaxSendRate"], figures.get("SentLast24Hours", 0.0))
    found.take(account_checks(answer.account, quota))
    found.leave(_SENDING)
