"""
The API door: one message, once, through SES's `SendEmail`; and `GetAccount` for the sending quota.

It decides nothing about replies (`_meaning`), requests (`_door`, `_request`), connections (`_connection`, `_pool`) or
answers (`_answers`, `_errors`): it puts them together.

Invariants: one HTTP request for one attempt, whatever happens, except that ended credentials are renewed and the
request made once more; a response without a message id is no acceptance; whatever breaks after the request was written
to its end is unknown, and nothing else is.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import aiohttp
import attrs
from aiobotocore.session import AioSession
from aiolimiter import AsyncLimiter
from botocore.exceptions import BotoCoreError, ClientError

from ..._meaning.classify import meaning, meaning_of_api_error
from ..._model.errors import ConfigurationError, TransportError
from ..._model.message import Message
from ..._model.outcome import Outcome, Stage
from ..._model.quota import SendQuota
from ..._model.report import Receipt
from .._content import prepared
from .._labels import tags_from
from .._pool import Pool, PoolOptions
from .._refusal import error_of, words_of
from .._url import TransportURL
from ._client import SharedClient
from ._connection import HTTPConnection
from ._door import Door, door_with
from ._errors import Said, broken, receipt_of, said, unreachable
from ._opening import ProxyRefused, open_connection
from ._options import SESOptions
from ._regions import known_regions
from ._request import Body, body_of

if TYPE_CHECKING:
    from types_aiobotocore_sesv2 import SESV2Client

__all__ = ["SESTransport", "from_url", "session_with"]

GET_ACCOUNT_RATE = 1.0
"""GetAccount calls a second at most. Source: Amazon SES Developer Guide, "Service quotas": all actions other than sends
are throttled at one request per second; read 2026-11."""

ASKED = 4
"""Times that GetAccount is asked in all while it is refused for its own rate, which everybody who asks for the account
shares: a look with the doctor and the start of a relay are within one second."""

KEEPALIVE = 5.0
"""Seconds after which an idle connection is not used again: a request on one that the service is about to close ends as
"may have been accepted"."""

SLOWEST = 32 * 1024
"""Bytes/s that a way to the service takes at least: what is larger is given more time, to be written and, since the
systems on the way hold some of it back, to be answered."""

_BROKEN = (BotoCoreError, aiohttp.ClientError, OSError, ValueError, AttributeError, TypeError, LookupError)
"""What a question can end with; the last three are botocore's, from a response of JSON that is no object."""

_log = logging.getLogger("seslimit")


def _doors_of(transport: SESTransport) -> SharedClient[Door]:
    return SharedClient(lambda: door_with(transport))


def _pool_of(transport: SESTransport) -> Pool[HTTPConnection]:
    return Pool(transport._connect, PoolOptions(transport.max_connections, KEEPALIVE))  # noqa: SLF001


@attrs.frozen(eq=False)
class SESTransport(SESOptions):
    """
    Hands messages to SES through its API, version 2.

    Args:
        region: AWS region; None for the one that the environment or the profile names.
        profile: AWS profile; None for the default chain of credentials.
        endpoint_url: the API's URL in place of the region's own; https off this machine.
        configuration_set: SES configuration set of every message.
        tenant: SES tenant of every message.
        tags: SES message tags of every message.
        endpoint_id: id of a multi-region endpoint; needs the package awscrt.
        max_connections: HTTP connections at most; have at least as many as messages in flight.
        connect_timeout: seconds for a connection.
        timeout: seconds for writing the request, and again for its answer; a large one is given more of both.
        session: an aiobotocore session of yours, for credentials of your own; it cannot be renewed when they end.

    Raises:
        ConfigurationError: an option is wrong.
    """

    _doors: SharedClient[Door] = attrs.field(init=False, repr=False, default=attrs.Factory(_doors_of, takes_self=True))
    _pool: Pool[HTTPConnection] = attrs.field(init=False, repr=False, default=attrs.Factory(_pool_of, takes_self=True))
    _constant: Mapping[str, Any] = attrs.field(
        init=False, repr=False, default=attrs.Factory(SESOptions.labels, takes_self=True)
    )
    _said: set[str] = attrs.field(factory=set, init=False, repr=False)
    _pace: AsyncLimiter = attrs.field(factory=lambda: AsyncLimiter(GET_ACCOUNT_RATE, 1.0), init=False, repr=False)

    async def send(self, message: Message) -> Receipt:
        """
        Make one attempt.

        Raises:
            TransportError: the message was not accepted; its outcome says what that means.
            ConfigurationError: there is no region, no such profile, or no credentials that can be used.

        Cancelling:
            the request is dropped with its connection; the message may have been accepted.
        """
        body = await prepared(message, partial(body_of, message, self._constant))
        opened = await self._doors.opened()
        try:
            found = await self._attempt(opened.client, body)
        finally:
            await opened.leave()
        if found.ended and self.session is None:
            # The credentials have ended. The service took nothing, so the same attempt is made with new ones.
            renewed = await self._doors.renewed(opened)
            try:
                found = await self._attempt(renewed.client, body)
            finally:
                await renewed.leave()
        return receipt_of(found, message.recipients)

    async def quota(self) -> SendQuota | None:
        """
        The account's sending quota now; None where these credentials may not ask for it.

        Raises:
            TransportError: the question failed; for its own rate, when it was asked four times.
            ConfigurationError: there is no region, no such profile, or no credentials that can be used.
        """
        opened = await self._doors.opened()
        try:
            signer = await opened.client.signer()
            await opened.client.way()  # says what is wrong with it; botocore's own words name no cause
            asked = 0
            while True:
                asked += 1
                # Only now: opening the first client takes time, which would be counted as time since the last question.
                await self._pace.acquire()
                try:
                    async with asyncio.timeout(self.timeout):
                        account = await opened.client.client.get_account()
                        figures = cast("Mapping[str, float]", account["SendQuota"])
                        return SendQuota(figures["Max24HourSend"], figures["MaxSendRate"], figures["SentLast24Hours"])
                except ClientError as error:
                    refused = _refused(error, signer.hide)
                if refused is None:
                    self._say_denied()
                    return None
                if refused.outcome is not Outcome.THROTTLED or asked == ASKED:
                    raise refused
        except _BROKEN as error:
            meant = meaning(error)
            if meant.stage is Stage.CONNECT:
                await self._check_region(opened.client, error)
            raise error_of(meant, words_of(error)) from error
        finally:
            await opened.leave()

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[SESV2Client]:
        """
        The client that attempts are made with, for questions beside them; it repeats nothing.

        Raises:
            ConfigurationError: there is no region, or no such profile.
        """
        opened = await self._doors.opened()
        try:
            yield opened.client.client
        finally:
            await opened.leave()

    async def aclose(self) -> None:
        """Close all connections. Called once, when nothing is under way."""
        await self._pool.aclose()
        await self._doors.aclose()

    def _say_denied(self) -> None:
        if "denied" not in self._said:
            self._said.add("denied")
            _log.warning(
                "These credentials may not ask for the sending quota (permission ses:GetAccount), "
                "so the send rate is found by sending."
            )

    async def _attempt(self, door: Door, body: Body) -> Said:
        signer, way = await door.signer(), await door.way()
        connection = await self._pool.acquire()
        seconds = self.timeout + len(body.content) / SLOWEST
        try:
            answer = await connection.exchange(signer.head(body, way), body.content, seconds, seconds)
            return said(answer, connection.handed_over_at, signer.hide)
        except OSError as error:
            raise broken(error, connection) from error
        finally:
            self._pool.release(connection)

    async def _check_region(self, door: Door, error: Exception) -> None:
        """
        Whether nobody can be reached because the region has no SES.

        Raises:
            ConfigurationError: so it is.
        """
        region = door.client.meta.region_name
        if self.endpoint_url is None and region not in await asyncio.to_thread(known_regions):
            raise ConfigurationError(f"there is no SES in the region {region}: write for example eu-west-1.") from error

    async def _connect(self) -> HTTPConnection:
        opened = await self._doors.opened()
        try:
            return await open_connection(await opened.client.way(), self.connect_timeout)
        except socket.gaierror as error:
            await self._check_region(opened.client, error)
            raise unreachable(error) from error
        except ProxyRefused as error:
            if error.status == 407:
                raise ConfigurationError(f"{error}: put its user and password into the URL of HTTPS_PROXY.") from None
            raise unreachable(error) from error
        except (OSError, ValueError) as error:
            raise unreachable(error) from error
        finally:
            await opened.leave()


def session_with(access_key_id: str, secret_access_key: str, session_token: str | None = None) -> AioSession:
    """A session with these credentials, in place of those that the AWS chain finds."""
    session = AioSession()
    session.set_credentials(access_key_id, secret_access_key, session_token)
    return session


def from_url(url: TransportURL) -> SESTransport:
    """
    The transport of `ses://REGION?option=value`; without a region the environment's is used.

    Options: `profile`, `endpoint_url`, `configuration_set`, `tenant`, `tags=name=value,…`, `endpoint_id`,
    `max_connections`, `timeout`. Credentials come from the AWS chain.

    Raises:
        ConfigurationError: an option is unknown or wrong, or the URL holds credentials.
    """
    options = url.take(
        "profile", "endpoint_url", "configuration_set", "tenant", "tags", "endpoint_id", "max_connections", "timeout"
    )
    if url.user is not None or url.password is not None or url.port is not None:
        raise ConfigurationError(
            "a ses URL is ses://REGION: credentials come from the AWS chain, a port from endpoint_url."
        )
    default = {field.name: field.default for field in attrs.fields(SESTransport)}
    return SESTransport(
        url.host or None,
        profile=options.get("profile"),
        endpoint_url=options.get("endpoint_url"),
        configuration_set=options.get("configuration_set"),
        tenant=options.get("tenant"),
        tags=tags_from(options.get("tags", "")),
        endpoint_id=options.get("endpoint_id"),
        max_connections=url.count("max_connections", cast("int", default["max_connections"])),
        timeout=url.number("timeout", cast("float", default["timeout"]), least=0.1),
    )


def _refused(error: ClientError, hide: Callable[[str], str]) -> TransportError | None:
    """What was wrong with a question for the account; None where these credentials may not ask it."""
    described = error.response.get("Error", {})
    code, words = str(described.get("Code", "")), str(described.get("Message", ""))
    if code.startswith("AccessDenied"):
        return None
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    # botocore's own error is left behind: it holds the words as they came, and they may repeat what was signed.
    return error_of(meaning_of_api_error(code, words, status), hide(f"{code} {words}".strip()))
