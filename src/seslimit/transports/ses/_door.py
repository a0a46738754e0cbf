"""
What aiobotocore knows of the API door: client, endpoint, credentials, proxies, authorities.

botocore is asked once, for each client, what a `SendEmail` looks like: the request that it is about to sign is taken
from its event, and sent nowhere. So every setting that it reads (profile, endpoint, dual stack, FIPS, multi-region
endpoint, user agent) holds for our own requests, which are signed with credentials that botocore renews.

Invariant: what is at fault in the set-up is a `ConfigurationError` before any connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import attrs
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from botocore.exceptions import NoCredentialsError
from botocore.httpsession import ProxyConfiguration, get_cert_path
from botocore.utils import get_environ_proxies

from ..._model.errors import ConfigurationError
from ._credentials import CHAIN_FAILURES, session_for, wrong_set_up
from ._opening import Place, Way
from ._options import SESOptions
from ._signer import Blueprint, Keys, Signer

if TYPE_CHECKING:
    from types_aiobotocore_sesv2 import SESV2Client

PORTS = {"https": 443, "http": 80}
"""Scheme → the port of a URL that names none."""


class _Taken(Exception):
    """The request was seen; no more is wanted of it."""


@attrs.frozen
class Door:
    """
    The API door, open.

    Args:
        client: for questions beside the attempts; it repeats nothing.
        blueprint: what an attempt's request looks like.
        session: knows which authorities are trusted.
    """

    client: SESV2Client
    blueprint: Blueprint
    session: AioSession = attrs.field(repr=False)
    _keys: Keys = attrs.field(factory=Keys, init=False, repr=False)
    _ways: list[Way] = attrs.field(factory=list, init=False, repr=False)

    async def way(self) -> Way:
        """
        How to get to the service, found out once.

        Raises:
            ConfigurationError: a file of certificates cannot be read.
        """
        if not self._ways:
            self._ways.append(await _way_to(self.blueprint.url, self.session, self.client))
        return self._ways[0]

    async def signer(self) -> Signer:
        """
        A signer with the credentials of now, renewed where they were about to end.

        Raises:
            ConfigurationError: there are none, or none that can be used.
        """
        try:
            auth = await self.blueprint.signer.get_auth_instance(**self.blueprint.signing)
            if getattr(auth, "credentials", auth) is None:
                raise NoCredentialsError
            signer = Signer(self.blueprint, self._keys, auth)
            wrong = signer.wrong
        except CHAIN_FAILURES as error:
            raise wrong_set_up(error) from None
        if wrong is not None:
            raise wrong
        return signer


@contextlib.asynccontextmanager
async def door_with(settings: SESOptions) -> AsyncIterator[Door]:
    """
    The door, open until the block ends.

    Raises:
        ConfigurationError: something of the set-up is missing or wrong.
    """
    config = AioConfig(
        retries={"total_max_attempts": 1},
        connect_timeout=settings.connect_timeout,
        read_timeout=settings.timeout,
        parameter_validation=False,  # a message is checked when it is made
        user_agent=f"seslimit/{version('seslimit')}",
        warm_up_loader_caches=True,  # else the service model is read from disk on the event loop
    )
    async with contextlib.AsyncExitStack() as stack:
        try:
            session = settings.session or session_for(settings.profile)
            creating = session.create_client(
                "sesv2", region_name=settings.region, endpoint_url=settings.endpoint_url, config=config
            )
            client = cast("SESV2Client", await stack.enter_async_context(creating))
            blueprint = await _blueprint_of(client, settings.endpoint_id)
        except CHAIN_FAILURES as error:
            raise wrong_set_up(error) from None
        yield Door(client, blueprint, session)


async def _blueprint_of(client: SESV2Client, endpoint_id: str | None) -> Blueprint:
    """Have botocore make a request up to its signature, and take it."""
    taken: list[Blueprint] = []

    def take(
        request: Any, request_signer: Any, signing_name: str, region_name: str, signature_version: str, **_event: Any
    ) -> None:
        chosen = {"signing_name": signing_name, "region_name": region_name}
        # As the signer does it: for a multi-region endpoint the regions are others than the client's.
        asked = request.context.get("signing", {})
        chosen |= {"region_name": asked["region"]} if asked.get("region") else {}
        chosen |= {"signing_name": asked["signing_name"]} if asked.get("signing_name") else {}
        headers = {name: _text(value) for name, value in request.headers.items()}
        headers["Host"] = _host_of(request.url)
        taken.append(
            Blueprint(
                request.url,
                headers,
                dict(request.context),
                request_signer,
                {**chosen, "signature_version": signature_version},
            )
        )
        raise _Taken

    named: Any = {"EndpointId": endpoint_id} if endpoint_id else {}
    client.meta.events.register_last("before-sign.sesv2.SendEmail", take)
    try:
        await client.send_email(Content={"Raw": {"Data": b""}}, **named)
    except _Taken:
        return taken[0]
    finally:
        client.meta.events.unregister("before-sign.sesv2.SendEmail", take)
    raise ConfigurationError("botocore makes no request that is signed: is there a proxy of its own in this program?")


async def _way_to(url: str, session: AioSession, client: SESV2Client) -> Way:
    """How requests get to a URL. The settings are botocore's; so are the names of the environment's variables."""
    config: Any = client.meta.config
    proxies = ProxyConfiguration(
        proxies=config.proxies if config.proxies is not None else get_environ_proxies(url),
        proxies_settings=config.proxies_config,
    )
    chosen = proxies.proxy_url_for(url)
    trusted = session.get_config_variable("ca_bundle")
    try:
        place = await asyncio.to_thread(_place, url, trusted, config.client_cert)
        if chosen is None:
            return Way(place)
        settings = proxies.settings
        proxy = await asyncio.to_thread(
            _place, chosen, settings.get("proxy_ca_bundle") or trusted, settings.get("proxy_client_cert")
        )
    except OSError:
        raise ConfigurationError(
            "the file of trusted authorities, or that of the client's certificate, cannot be read: check AWS_CA_BUNDLE."
        ) from None
    lines = "".join(f"{name}: {_text(value)}\r\n" for name, value in proxies.proxy_headers_for(chosen).items())
    return Way(place, proxy, lines.encode("ascii"))


def _place(url: str, trusted: str | None, certificate: str | tuple[str, str] | None) -> Place:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or PORTS.get(parts.scheme, 80)
    if parts.scheme != "https":
        return Place(host, port)
    context = ssl.create_default_context(cafile=get_cert_path(trusted or True))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate is not None:
        context.load_cert_chain(*((certificate,) if isinstance(certificate, str) else certificate))
    return Place(host, port, context)


def _host_of(url: str) -> str:
    """What the header Host holds, as it is signed."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    return host if parts.port in (None, PORTS.get(parts.scheme)) else f"{host}:{parts.port}"


def _text(value: str | bytes) -> str:
    return value.decode("ascii") if isinstance(value, bytes) else value
