"""
What the service may be told about a message beside its envelope: configuration set, tenant and tags.

They are checked here, once for both doors, because over SMTP they become header lines and must not break out of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import attrs

from .._model.errors import ConfigurationError, printable

CONFIGURATION_SET = b"x-ses-configuration-set"
TENANT = b"x-ses-tenant"
TAGS = b"x-ses-message-tags"

_NAME = re.compile(r"[A-Za-z0-9_-]{1,256}")
_ENDPOINT = re.compile(r"[A-Za-z0-9_.-]{1,256}")


def _checked(name: str, value: str, pattern: re.Pattern[str] = _NAME) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ConfigurationError(
            f"{name} {printable(repr(value))} is not a name of 1 to 256 letters, digits, dashes or underscores."
        )
    return value


def check_name(instance: object, attribute: attrs.Attribute[str | None], value: str | None) -> None:
    """Validate an attrs field that holds a name of the service's, or None."""
    if value is not None:
        _checked(attribute.name, value)


def check_endpoint_id(instance: object, attribute: attrs.Attribute[str | None], value: str | None) -> None:
    """Validate an attrs field that holds the id of a multi-region endpoint, or None."""
    if value is not None:
        _checked(attribute.name, value, _ENDPOINT)


def check_tags(instance: object, attribute: attrs.Attribute[Mapping[str, str]], value: Mapping[str, str]) -> None:
    """Validate an attrs field that holds message tags."""
    for name, text in value.items():
        _checked("the name of a tag", name)
        _checked(f"tag {name}", text)


def tags_from(text: str) -> dict[str, str]:
    """
    The tags of a URL's option: `campaign=spring,kind=news`.

    Raises:
        ConfigurationError: a part has no "=".
    """
    tags = {}
    for part in filter(None, text.split(",")):
        name, separator, value = part.partition("=")
        if not separator:
            raise ConfigurationError(f"tags {printable(text)!r}: write name=value, separated by commas.")
        tags[name] = value
    return tags


def header_lines(configuration_set: str | None, tenant: str | None, tags: Mapping[str, str]) -> Mapping[bytes, bytes]:
    """
    The header lines that tell the same to the SMTP door, which strips them, by their names in small letters.

    Source:
        Amazon SES Developer Guide, "Specifying a configuration set" and "Amazon SES-specific headers", read 2026-11.
    """
    headers = {
        CONFIGURATION_SET: configuration_set,
        TENANT: tenant,
        TAGS: ", ".join(f"{name}={value}" for name, value in tags.items()),
    }
    # Checked names are ASCII; attrs makes these lines before it checks them, and the check has the better error.
    return {name: b"%s: %s\r\n" % (name.upper(), value.encode()) for name, value in headers.items() if value}


def own_labels(content: bytes) -> frozenset[bytes]:
    """
    Which of the service's headers a message brings itself, in small letters.

    They win over what a transport says of every message: both together would be refused as a duplicate.
    """
    end = content.find(b"\r\n\r\n")
    head = b"\r\n" + content[: end if end >= 0 else len(content)].lower()
    return frozenset(name for name in (CONFIGURATION_SET, TENANT, TAGS) if b"\r\n%s:" % name in head)
