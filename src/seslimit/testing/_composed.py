"""
Contents that the service composes itself: `Simple`, and `Template` with its data.

Pure: fields of a request come in, bytes of a message go out. What Amazon SES adds to them (Message-ID, Date) is not
imitated; the parts, the charsets and the header fields are those that were asked for.

Source:
    SES API v2 reference: Message, Body, Template, MessageHeader, Attachment; read 2026-11.
"""

from __future__ import annotations

import base64
import binascii
import email.message
import email.policy
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

_PLACE = re.compile(r"\{\{\{?\s*([\w.@-]+)\s*\}?\}\}")


class NotComposed(Exception):
    """There is no message in a request; the words are for whoever sent it."""


def simple(fields: Mapping[str, Any], envelope: Mapping[str, Any]) -> bytes:
    """
    The message of `Content.Simple`.

    Args:
        fields: Subject, Body, Headers, Attachments.
        envelope: "From", "To", "Cc" and "Reply-To", each a list of addresses.

    Raises:
        NotComposed: a field is missing or of another kind.
    """
    try:
        message = _with_texts(fields["Subject"]["Data"], _texts(fields["Body"]), envelope)
        for header in fields.get("Headers") or ():
            message[header["Name"]] = header["Value"]
        for attachment in fields.get("Attachments") or ():
            kind, _, subtype = (attachment.get("ContentType") or "application/octet-stream").partition("/")
            message.add_attachment(
                base64.b64decode(attachment["RawContent"], validate=True),
                maintype=kind,
                subtype=subtype,
                filename=attachment["FileName"],
            )
        return message.as_bytes()
    except (KeyError, TypeError, AttributeError, ValueError, LookupError, binascii.Error) as error:
        raise NotComposed(f"Content.Simple has no Subject.Data and Body.Text.Data or Html.Data ({error}).") from None


def templated(template: Mapping[str, Any], data: str, envelope: Mapping[str, Any]) -> bytes:
    """
    The message of a template with its data: `{{name}}` is replaced, and nothing else of its language is known.

    Raises:
        NotComposed: the data is no JSON object, or lacks a name.
    """
    try:
        values = json.loads(data or "{}")
        if not isinstance(values, dict):
            raise TypeError("no object")
        texts = [(kind, _filled(template[name], values)) for kind, name in _TEMPLATE if template.get(name)]
        return _with_texts(_filled(template["Subject"], values), texts, envelope).as_bytes()
    except KeyError as error:
        raise NotComposed(f"Attribute {error} is not present in the rendering data.") from None
    except (TypeError, AttributeError, ValueError, RecursionError, LookupError) as error:
        raise NotComposed(f"The template cannot be rendered ({error}).") from None


_TEMPLATE = (("plain", "Text"), ("html", "Html"))


def _texts(body: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(kind, body[name]["Data"]) for kind, name in _TEMPLATE if body.get(name)]


def _filled(text: str, values: Mapping[str, Any]) -> str:
    return _PLACE.sub(lambda place: str(values[place[1]]), text)


def _with_texts(
    subject: str, texts: Iterable[tuple[str, str]], envelope: Mapping[str, Any]
) -> email.message.EmailMessage:
    message = email.message.EmailMessage(policy=email.policy.SMTP)
    for name in ("From", "To", "Cc", "Reply-To"):
        if addresses := envelope.get(name):
            message[name] = ", ".join(addresses)
    message["Subject"] = subject
    first, *others = texts
    message.set_content(first[1], subtype=first[0])
    for kind, text in others:
        message.add_alternative(text, subtype=kind)
    return message
