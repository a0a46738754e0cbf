"""What the API door is used with, checked: nothing here opens it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import attrs
from aiobotocore.session import AioSession

from ..._model.errors import ConfigurationError, printable
from ..._model.options import numeric
from .._labels import check_endpoint_id, check_name, check_tags
from .._loopback import is_loopback

_REGION = re.compile(r"[a-z0-9-]{1,64}")


@attrs.frozen(eq=False)
class SESOptions:
    """
    The options of `SESTransport`, which documents them.

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
    max_connections: int = attrs.field(default=100, kw_only=True, validator=numeric("connections", low=1))
    connect_timeout: float = attrs.field(default=10.0, kw_only=True, validator=numeric("seconds", low=0, above=True))
    timeout: float = attrs.field(default=60.0, kw_only=True, validator=numeric("seconds", low=0, above=True))
    session: AioSession | None = attrs.field(default=None, kw_only=True, repr=False)

    def __attrs_post_init__(self) -> None:
        if self.region is not None and not _REGION.fullmatch(self.region):
            raise ConfigurationError(f"region {printable(repr(self.region))} is not an AWS region: write eu-west-1.")
        url = urlsplit(self.endpoint_url or "https://")
        if url.scheme != "https" and not (url.scheme == "http" and is_loopback(url.hostname or "")):
            raise ConfigurationError(
                "endpoint_url must begin with https://; http:// is accepted for this machine only."
            )

    def labels(self) -> Mapping[str, Any]:
        """What is the same in every request."""
        optional = {
            "ConfigurationSetName": self.configuration_set,
            "TenantName": self.tenant,
            "EndpointId": self.endpoint_id,
            "EmailTags": [{"Name": name, "Value": value} for name, value in self.tags.items()],
        }
        return {name: value for name, value in optional.items() if value}
