"""
The signed head of a `SendEmail` request.

Invariant: no secret is in a local variable of a frame that raises.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import attrs
from botocore.awsrequest import AWSRequest

from ..._model.errors import ConfigurationError
from .._secret import Redaction
from ._credentials import CHAIN_FAILURES, unclean, wrong_set_up
from ._opening import Way
from ._request import Body
from ._signature import CONTENT_HASH, Scope, signed, signing_key

_PLAIN = re.compile(r"(?:/[A-Za-z0-9_~-]+)+")


@attrs.frozen
class Blueprint:
    """
    What botocore makes of a `SendEmail` before it signs it.

    Args:
        url: where it goes.
        headers: what is sent with it.
        context: what the signer wants to know of it.
        signer: signs it.
        signing: which way of signing, for which region and service.
    """

    url: str
    headers: Mapping[str, str]
    context: Mapping[str, Any] = attrs.field(repr=False)
    signer: Any = attrs.field(repr=False)
    signing: Mapping[str, str]
    path: str = attrs.field(init=False, default=attrs.Factory(lambda self: urlsplit(self.url).path or "/", True))
    is_plain: bool = attrs.field(init=False, default=attrs.Factory(lambda self: _is_plain(self), True))
    """Whether it is signed in the ordinary way, and its path is written in but one."""


def _is_plain(blueprint: Blueprint) -> bool:
    ordinary = blueprint.signing["signature_version"] == "v4" and not urlsplit(blueprint.url).query
    return ordinary and bool(_PLAIN.fullmatch(blueprint.path))


class Signer:
    """
    Signs requests with one set of credentials; its repr shows none of them.

    Args:
        blueprint: of the requests.
        keys: what is kept from one attempt to the next.
        auth: botocore's way of signing, with the credentials.
    """

    def __init__(self, blueprint: Blueprint, keys: Keys, auth: Any) -> None:
        self._blueprint = blueprint
        self._keys = keys
        self._auth = auth
        self._credentials: Any = getattr(auth, "credentials", None)

    @property
    def wrong(self) -> ConfigurationError | None:
        """What is wrong with credentials that cannot be sent."""
        held = self._credentials
        return None if held is None else unclean(held.access_key, held.secret_key, held.token)

    def hide(self, text: str) -> str:
        """Take the credentials out of what the service says: it repeats what it was to sign, session token and all."""
        held = self._credentials
        return Redaction(() if held is None else (held.secret_key, held.token))(text)

    def head(self, body: Body, way: Way) -> bytes:
        """
        The signed head of the request with this body.

        Args:
            body: is signed, and told the length of.
            way: the way that it goes.

        Raises:
            ConfigurationError: there are no credentials to sign with, or a setting breaks out of its line.
        """
        blueprint = self._blueprint
        headers = {**blueprint.headers, CONTENT_HASH: body.digest}
        sent = self._signed(headers) if blueprint.is_plain else self._signed_by_botocore(headers)
        through = way.proxy is not None and not way.tunnels
        target = blueprint.url if through else blueprint.path
        # Not signed, since what is on the way may change it.
        sent |= {"Accept-Encoding": "identity", "Content-Length": str(len(body.content))}
        head = f"POST {target} HTTP/1.1\r\n" + "".join([f"{name}: {value}\r\n" for name, value in sent.items()])
        if head.count("\n") != len(sent) + 1:
            raise ConfigurationError("a setting of AWS holds a line end, and would break out of its header.")
        return head.encode() + (way.authorization if through else b"") + b"\r\n"

    def _signed(self, headers: dict[str, str]) -> dict[str, str]:
        blueprint, held, now = self._blueprint, self._credentials, datetime.now(UTC)
        scope = Scope(f"{now:%Y%m%d}", blueprint.signing["region_name"], blueprint.signing["signing_name"])
        if held.token:
            headers["X-Amz-Security-Token"] = held.token
        return signed(blueprint.path, headers, held.access_key, self._keys.of(held.secret_key, scope), scope, now)

    def _signed_by_botocore(self, headers: dict[str, str]) -> dict[str, str]:
        """Sign in another way, or what is not plain: a multi-region endpoint's signature, a bearer token."""
        request = AWSRequest("POST", self._blueprint.url, headers)
        request.context.update(self._blueprint.context)
        try:
            self._auth.add_auth(request)
        except CHAIN_FAILURES as error:
            raise wrong_set_up(error) from None
        return dict(request.headers.items())


class Keys:
    """The signing key of the day, made again for another day or other credentials; its repr shows none."""

    def __init__(self) -> None:
        self._made: tuple[str, Scope, bytes] | None = None

    def of(self, secret_key: str, scope: Scope) -> bytes:
        """The key for this scope."""
        if self._made is None or self._made[:2] != (secret_key, scope):
            self._made = secret_key, scope, signing_key(secret_key, scope)
        return self._made[2]
