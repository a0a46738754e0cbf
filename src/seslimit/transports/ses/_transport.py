"""
The API door: one message, once, through SES's `SendEmail`; and `GetAccount` for the sending quota.

With `_inquiry` the only module that imports aiobotocore. It decides nothing about replies (`_meaning`).

Invariants: one HTTP request for one attempt, whatever happens (by default botocore repeats requests, each perhaps a
message sent twice), except that ended credentials are renewed and the request made once more; a response without a
message id is no acceptance; whatever breaks after the request was written is unknown.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator, Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import aiohttp
import attrs
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from aiolimiter import AsyncLimiter
from attrs.validators import ge, gt
from botocore.exceptions import BotoCoreError, ClientError, NoRegionError, ProfileNotFound

from ..._meaning.classify import meaning
from ..._model.errors import ConfigurationError, printable
from ..._model.meaning import Meaning
from ..._model.message import Message
from ..._model.outcome import Outcome, Stage
from ..._model.quota import SendQuota
from ..._model.report import Receipt
from .._content import prepared
from .._labels import check_endpoint_id, check_name, check_tags, tags_from
from .._loopback import is_loopback
from .._refusal import error_of, words_of
from .._url import TransportURL
from ._client import SharedClient
from ._errors import broken, ended, refused
from ._http import OneRequestSession
from ._request import CURRENT, Request, note_writing, put_content, request_of

if TYPE_CHECKING:
    from types_aiobotocore_sesv2 import SESV2Client

__all__ = ["SESTransport", "from_url", "session_with"]

GET_ACCOUNT_RATE = 1.0
"""GetAccount calls a second at most. Source: Amazon SES Developer Guide, "Service quotas": all actions other than sends
are throttled at one request per second; read 2026-11."""

KEEPALIVE = 5.0
"""Seconds after which an idle connection is not used again: a request on one that the service is about to close ends as
"may have been accepted"."""

_BROKEN = (BotoCoreError, aiohttp.ClientError, OSError, ValueError, AttributeError, TypeError, LookupError)
"""What a request can end with; the last three are botocore's, from a response of JSON that is no object."""

_REGION = re.compile(r"[a-z0-9-]{1,64}")
_log = logging.getLogger("seslimit")


def _labels_of(transport: SESTransport) -> Mapping[str, Any]:
    """What is the same in every request."""
    optional = {
        "ConfigurationSetName": transport.configuration_set,
        "TenantName": transport.tenant,
        "EndpointId": transport.endpoint_id,
        "EmailTags": [{"Name": name, "Value": value} for name, value in transport.tags.items()],
    }
    return {name: value for name, value in optional.items() if value}


@contextlib.asynccontextmanager
async def _client_of(transport: SESTransport) -> AsyncIterator[SESV2Client]:
    config = AioConfig(
        retries={"total_max_attempts": 1},
        connect_timeout=transport.connect_timeout,
        read_timeout=transport.timeout,
        max_pool_connections=transport.max_connections,
        connector_args={"keepalive_timeout": KEEPALIVE},
        http_session_cls=OneRequestSession,
        parameter_validation=False,  # a message is checked when it is made
        user_agent=f"seslimit/{version('seslimit')}",  # botocore's own is put together anew for every request
        warm_up_loader_caches=True,  # else the service model is read from disk on the event loop
    )
    async with contextlib.AsyncExitStack() as stack:
        try:
            session = transport.session or AioSession(profile=transport.profile)
            creating = session.create_client(
                "sesv2", region_name=transport.region, endpoint_url=transport.endpoint_url, config=config
            )
            client = cast("SESV2Client", await stack.enter_async_context(creating))
        except NoRegionError:
            raise ConfigurationError("no AWS region: write ses://eu-west-1, or set AWS_DEFAULT_REGION.") from None
        except ProfileNotFound:
            raise ConfigurationError(f"there is no AWS profile {transport.profile!r} on this machine.") from None
        except (BotoCoreError, ValueError) as error:
            raise ConfigurationError(f"the SES client cannot be made: {words_of(error)}") from error
        client.meta.events.register("before-call.sesv2.SendEmail", put_content)
        client.meta.events.register("before-send.sesv2.SendEmail", note_writing)
        yield client


def _clients_of(transport: SESTransport) -> SharedClient[SESV2Client]:
    return SharedClient(lambda: _client_of(transport))


@attrs.frozen(eq=False)
class SESTransport:
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
        timeout: seconds for one attempt in all.
        session: an aiobotocore session of yours, for credentials of your own; it cannot be renewed when they end.

    Raises:
        ConfigurationError: an option is wrong.
    """

    region: str | None = None
    profile: str | None = attrs.field(default=None, kw_only=True)
    endpoint_url: str | None = attrs.field(default=None, kw_only=True)
    configuration_set: str | None = attrs.field(default=None, kw_only=True, validator=check_name)
    tenant: str | None = attrs.field(default=None, kw_only=True, validator=check_name)
    tags: Mapping[str, str] = attrs.field(factory=dict, kw_only=True, validator=check_tags)
    endpoint_id: str | None = attrs.field(default=None, kw_only=True, validator=check_endpoint_id)
    max_connections: int = attrs.field(default=100, kw_only=True, validator=ge(1))
    connect_timeout: float = attrs.field(default=10.0, kw_only=True, validator=gt(0))
    timeout: float = attrs.field(default=60.0, kw_only=True, validator=gt(0))
    session: AioSession | None = attrs.field(default=None, kw_only=True, repr=False)
    _clients: SharedClient[SESV2Client] = attrs.field(
        init=False, repr=False, default=attrs.Factory(_clients_of, takes_self=True)
    )
    _constant: Mapping[str, Any] = attrs.field(
        init=False, repr=False, default=attrs.Factory(_labels_of, takes_self=True)
    )
    _said: set[str] = attrs.field(factory=set, init=False, repr=False)
    _pace: AsyncLimiter = attrs.field(factory=lambda: AsyncLimiter(GET_ACCOUNT_RATE, 1.0), init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        if self.region is not None and not _REGION.fullmatch(self.region):
            raise ConfigurationError(f"region {printable(repr(self.region))} is not an AWS region: write eu-west-1.")
        url = urlsplit(self.endpoint_url or "https://")
        if url.scheme != "https" and not (url.scheme == "http" and is_loopback(url.hostname or "")):
            raise ConfigurationError(
                "endpoint_url must begin with https://; http:// is accepted for this machine only."
            )

    async def send(self, message: Message) -> Receipt:
        """
        Make one attempt.

        Raises:
            TransportError: the message was not accepted; its outcome says what that means.
            ConfigurationError: there is no region, or no such profile.

        Cancelling:
            the request is dropped with its connection; the message may have been accepted.
        """
        request = await prepared(message, request_of)
        opened = await self._clients.opened()
        try:
            return await self._attempt(opened.client, message, request)
        except ClientError as error:
            if not ended(error) or self.session is not None:
                raise refused(error, request, message.recipients) from error
        finally:
            await opened.leave()
        # The credentials have ended. The service took nothing, so the same attempt is made with new ones.
        renewed = await self._clients.renewed(opened)
        try:
            return await self._attempt(renewed.client, message, request)
        except ClientError as error:
            raise refused(error, request, message.recipients) from error
        finally:
            await renewed.leave()

    async def quota(self) -> SendQuota | None:
        """
        The account's sending quota now; None where these credentials may not ask for it.

        Raises:
            TransportError: the question failed.
            ConfigurationError: there is no region, or no such profile.
        """
        opened = await self._clients.opened()
        try:
            # Only now: opening the first client takes time, which would be counted as time since the last question.
            await self._pace.acquire()
            async with asyncio.timeout(self.timeout):
                account = await opened.client.get_account()
        except ClientError as error:
            if error.response.get("Error", {}).get("Code", "").startswith("AccessDenied"):
                self._say_denied()
                return None
            raise refused(error) from error
        except _BROKEN as error:
            raise error_of(meaning(error), words_of(error)) from error
        finally:
            await opened.leave()
        figures = cast("Mapping[str, float]", account["SendQuota"])
        return SendQuota(figures["Max24HourSend"], figures["MaxSendRate"], figures["SentLast24Hours"])

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[SESV2Client]:
        """
        The client that attempts are made with, for questions beside them; it repeats nothing.

        Raises:
            ConfigurationError: there is no region, or no such profile.
        """
        opened = await self._clients.opened()
        try:
            yield opened.client
        finally:
            await opened.leave()

    async def aclose(self) -> None:
        """Close all connections. Called once, when nothing is under way."""
        await self._clients.aclose()

    def _say_denied(self) -> None:
        if "denied" not in self._said:
            self._said.add("denied")
            _log.warning(
                "These credentials may not ask for the sending quota (permission ses:GetAccount), "
                "so the send rate is found by sending."
            )

    async def _attempt(self, client: SESV2Client, message: Message, request: Request) -> Receipt:
        request.written_at = None
        token = CURRENT.set(request)
        try:
            async with asyncio.timeout(self.timeout):
                # The envelope decides, not the headers: for raw content the service sends to all of Destination, in
                # whichever of its three lists, and to nobody else, so that Bcc recipients need no header.
                response = await client.send_email(
                    FromEmailAddress=message.mail_from,
                    Destination={"ToAddresses": message.recipients},
                    Content={"Raw": {"Data": request.data}},
                    **self._constant,
                )
        except _BROKEN as error:
            raise broken(error, request) from error
        finally:
            CURRENT.reset(token)
        message_id = response.get("MessageId")
        if not message_id:
            raise error_of(
                Meaning(Outcome.UNKNOWN, stage=Stage.REQUEST),
                "The service answered without a message id; it may have accepted the message.",
                decided_at=request.written_at,
            )
        return Receipt(message_id, decided_at=request.written_at)


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
