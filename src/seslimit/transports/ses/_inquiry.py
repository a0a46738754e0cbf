"""
Questions to the API door and to the AWS chain that no attempt asks: which region, whose credentials, what account.

For `seslimit doctor`. It decides nothing; third-party errors are translated here.

Invariants: no message is sent; what is told of credentials is never their secret.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import urllib.request
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp
import attrs
import botocore.exceptions
from aiobotocore.session import AioSession
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.httpsession import get_cert_path

from ..._meaning.classify import meaning
from ..._model.meaning import Meaning
from ..._model.outcome import Outcome, Stage
from .._refusal import error_of, words_of
from ._credentials import CHAIN_FAILURES, session_for, unclean, wrong_set_up
from ._regions import known_regions
from ._transport import SESTransport

if TYPE_CHECKING:
    from types_aiobotocore_sesv2 import SESV2Client

__all__ = ["Answer", "Credentials", "Inquiry", "Proxy", "inquiring", "known_regions"]

_NO_ANSWER = Meaning(Outcome.NOT_SENT, blocks_endpoint=True, stage=Stage.CONNECT)
"""Whatever became of the question, no message went with it."""

_NO_LOGIN = Meaning(Outcome.ACCOUNT_BLOCKED, stage=Stage.AUTH)

_BROKEN = (BotoCoreError, aiohttp.ClientError, OSError, ValueError)


@attrs.frozen
class Credentials:
    """
    Which credentials are used.

    Args:
        source: where the AWS chain found them: "env", "shared-credentials-file", "iam-role".
        access_key_id: the id of the key.
        secrets: what must never be shown.
    """

    source: str
    access_key_id: str
    secrets: tuple[str | None, ...] = attrs.field(repr=False)

    @property
    def lacks_token(self) -> bool:
        """Whether they are temporary ones without the session token that belongs to them."""
        return self.access_key_id.startswith("ASIA") and not self.secrets[-1]


@attrs.frozen
class Answer:
    """
    What the service said to `GetAccount`.

    Args:
        account: its answer; empty where it refused.
        code: its error; empty where it answered.
        words: the error's message.
        http_status: of the response.
        served_at: its clock, from the header `Date`; None where there was none.
    """

    account: Mapping[str, Any]
    code: str
    words: str
    http_status: int
    served_at: datetime | None


@attrs.frozen
class Proxy:
    """
    What stands between this machine and the service.

    Args:
        place: host and port.
        login: user and password as the environment has them, which must never be shown; empty for none.
    """

    place: str
    login: str = attrs.field(repr=False)


@attrs.frozen
class Inquiry:
    """An open client, and what is known without a request."""

    _client: SESV2Client
    _session: AioSession
    _timeout: float

    @property
    def region(self) -> str:
        """The region that requests are signed for."""
        return str(self._client.meta.region_name)

    @property
    def endpoint_url(self) -> str:
        """The API's URL."""
        return str(self._client.meta.endpoint_url)

    @property
    def proxy(self) -> Proxy | None:
        """The proxy that requests go through; None for none."""
        url = urlsplit(self.endpoint_url)
        if urllib.request.proxy_bypass(url.hostname or ""):
            return None
        text = urllib.request.getproxies().get(url.scheme)
        if not text:
            return None
        login, _, place = text.rpartition("//")[2].rpartition("@")
        return Proxy(place.partition("/")[0], login)

    def tls_context(self) -> ssl.SSLContext:
        """
        Verifies with the authorities that requests are verified with.

        Raises:
            OSError: their file cannot be read.
        """
        chosen = self._session.get_config_variable("ca_bundle")
        return ssl.create_default_context(cafile=get_cert_path(chosen or True))

    async def credentials(self) -> Credentials | None:
        """
        The credentials; None where the AWS chain finds none.

        Raises:
            TransportError: they were found and cannot be had.
        """
        try:
            found = await self._session.get_credentials()
            if found is None:
                return None
            frozen = await found.get_frozen_credentials()
        except CHAIN_FAILURES as error:
            raise error_of(_NO_LOGIN, str(wrong_set_up(error))) from None
        wrong = unclean(frozen.access_key, frozen.secret_key, frozen.token)
        if wrong is not None:
            raise error_of(_NO_LOGIN, str(wrong))
        return Credentials(found.method, frozen.access_key, (frozen.secret_key, frozen.token))

    async def account(self) -> Answer:
        """
        Ask for the account, once.

        Raises:
            TransportError: there was no answer, or none that can be read.
        """
        try:
            async with asyncio.timeout(self._timeout):
                response: Mapping[str, Any] = await self._client.get_account()
        except ClientError as error:
            response = error.response
        except (botocore.exceptions.ConnectionError, HTTPClientError, aiohttp.ClientError, OSError) as error:
            raise error_of(_NO_ANSWER, words_of(error)) from error
        except _BROKEN as error:
            raise error_of(meaning(error), words_of(error)) from error
        described, about = response.get("Error", {}), response["ResponseMetadata"]
        return Answer(
            {} if described else response,
            str(described.get("Code", "")),
            str(described.get("Message", "")),
            about["HTTPStatusCode"],
            _time_of(about["HTTPHeaders"].get("date")),
        )


@contextlib.asynccontextmanager
async def inquiring(transport: SESTransport, timeout: float) -> AsyncIterator[Inquiry]:
    """
    Questions with the set-up of a transport.

    Args:
        transport: names region, profile and endpoint.
        timeout: seconds for one answer.

    Raises:
        ConfigurationError: no region, no such profile, or half of the credentials.
    """
    session = session_for(transport.profile)
    asking = attrs.evolve(transport, session=session, timeout=timeout, connect_timeout=timeout)
    try:
        async with asking.client() as client:
            yield Inquiry(client, session, timeout)
    finally:
        await asking.aclose()


def _time_of(header: str | None) -> datetime | None:
    try:
        return parsedate_to_datetime(header or "")
    except ValueError:
        return None
