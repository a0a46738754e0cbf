"""
The headers of a campaign, which listmonk posts unrendered, and those that it leaves out.

Decides what a header's template means, and which headers a campaign may set. Nothing is evaluated: a few known fields
are put in, and a header with any other expression is dropped.

Invariants: a value never brings a line of its own; every header that is dropped is named.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import attrs

from seslimit import InvalidMessage

from ..._composing.header import header_line
from ..._composing.structured import SERVICE
from ._post import Campaign, Post, Recipient

_EXPRESSION = re.compile(r"\{\{([^{}]*)\}\}")
_BARE_ADDRESS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,187}[A-Za-z0-9])?")

MADE_HERE = re.compile(
    r"from|to|subject|date|sender|message-id|received|mime-version|dkim-signature|list-unsubscribe-post"
    r"|x-listmonk-campaign|x-listmonk-subscriber|content-.*|resent-.*|arc-.*|authentication-results"
)
"""Headers that a campaign cannot set: they come from other fields, or belong to the service."""

_ONE_CLICK = re.compile(rb"<https://[^<>]*>", re.IGNORECASE)
"""A link that a receiver's program may post to. Source: RFC 8058, 3.1."""

HARMLESS = "x-ses-message-tags"
"""The one header for the service that changes nothing of how, or for whom, a message is sent."""

MAX_VALUE = 2000
"""Characters of one header's value."""

MAX_COPIES = 10
"""Addresses in Cc and Bcc together: every one of them costs a recipient of the quota for each message."""


@attrs.frozen
class Rules:
    """
    What is added to a campaign's headers, and what may be among them.

    Args:
        root_url: listmonk's own, without a slash at the end.
        unsubscribe: whether the headers to unsubscribe are added.
        service: whether a campaign may set the service's own headers: configuration set, tenant, identities.
    """

    root_url: str
    unsubscribe: bool = True
    service: bool = False


@attrs.frozen
class CampaignHeaders:
    """
    What the headers of a campaign come to.

    Args:
        lines: encoded, in order.
        return_path: the envelope's return address; None where it is the one in From.
        copies: further recipients of the envelope, from Cc and Bcc.
        dropped: a sentence for each header that was left out.
    """

    lines: tuple[bytes, ...] = ()
    return_path: str | None = None
    copies: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()


def campaign_headers(post: Post, rules: Rules) -> CampaignHeaders:
    """
    The headers of a campaign message; none at all for a transactional one.

    Args:
        post: the message.
        rules: what is added, and what a campaign may set.
    """
    if post.campaign is None:
        return CampaignHeaders()
    table = _Table(post.campaign.uuid, rules)
    fields = _fields(post.campaign, post.recipient, rules.root_url)
    for name, template in post.campaign.headers:
        table.add(name, _rendered(template, fields) if len(template) <= MAX_VALUE else template)
    table.add_missing("X-Listmonk-Campaign", post.campaign.uuid)
    if post.recipient.uuid:
        table.add_missing("X-Listmonk-Subscriber", post.recipient.uuid)
        if rules.unsubscribe:
            own = table.written.get("list-unsubscribe")
            table.add_missing("List-Unsubscribe", f"<{fields['UnsubscribeURL']}>")
            if own is None or _ONE_CLICK.search(own):
                table.add_missing("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")
    return CampaignHeaders(tuple(table.written.values()), table.return_path, tuple(table.copies), tuple(table.dropped))


def _fields(campaign: Campaign, recipient: Recipient, root_url: str) -> Mapping[str, str]:
    pair = f"{campaign.uuid}/{recipient.uuid}"
    return {
        ".Subscriber.UUID": recipient.uuid,
        ".Subscriber.Email": recipient.email,
        ".Subscriber.Name": recipient.name,
        ".Campaign.UUID": campaign.uuid,
        ".Campaign.Name": campaign.name,
        "UnsubscribeURL": f"{root_url}/subscription/{pair}",
        "MessageURL": f"{root_url}/campaign/{pair}",
        "RootURL": root_url,
    }


def _rendered(template: str, fields: Mapping[str, str]) -> str | None:
    """The template with the known fields put in; None where it says anything else."""
    unknown = False

    def put_in(found: re.Match[str]) -> str:
        nonlocal unknown
        value = fields.get(found[1].removeprefix("-").removesuffix("-").strip().removesuffix(" ."))
        unknown = unknown or value is None
        return value or ""

    text = _EXPRESSION.sub(put_in, template)
    rest = _EXPRESSION.sub("", template)
    return None if unknown or "{{" in rest or "}}" in rest else text.strip()


@attrs.define
class _Table:
    """The headers so far."""

    campaign: str
    rules: Rules
    written: dict[str, bytes] = attrs.field(factory=dict)
    """Name in small letters → header line."""
    return_path: str | None = None
    copies: list[str] = attrs.field(factory=list)
    dropped: list[str] = attrs.field(factory=list)

    def add(self, name: str, value: str | None) -> None:
        reason = self._objection(name, value)
        if reason is None and value:
            reason = self._take(name, value)
        if reason is not None:
            self.dropped.append(f"campaign {self.campaign}: its header {name[:76]!a} is left out, {reason}")

    def add_missing(self, name: str, value: str) -> None:
        """Add a header unless the campaign brings it."""
        if name.lower() not in self.written:
            self.written[name.lower()] = header_line(name, value)

    def _take(self, name: str, value: str) -> str | None:
        special: dict[str, Callable[[str], str | None]] = {
            "return-path": self._set_return_path,
            "bcc": self._add_copies,
            "cc": self._add_copies,
        }
        try:
            line = header_line(name, value)
        except InvalidMessage as error:
            return f"for {error}"
        take = special.get(name.lower())
        reason = take(value) if take else None
        if reason is None and name.lower() not in ("return-path", "bcc"):
            self.written[name.lower()] = line
        return reason

    def _objection(self, name: str, value: str | None) -> str | None:
        known = name.lower()
        if MADE_HERE.fullmatch(known):
            return "for it is made from the message's other fields."
        if known.startswith(SERVICE) and known != HARMLESS and not self.rules.service:
            return "for the service acts on it: --allow-ses-headers lets campaigns set it."
        if value is None:
            return "for it holds a template expression, and listmonk posts headers unrendered."
        if len(value) > MAX_VALUE:
            return f"for its value has more than {MAX_VALUE} characters."
        return "for it is there already." if known in self.written else None

    def _set_return_path(self, value: str) -> str | None:
        address = value.strip("<> ")
        if not _BARE_ADDRESS.fullmatch(address):
            return "for it is not one address."
        self.return_path = address
        return None

    def _add_copies(self, value: str) -> str | None:
        addresses = [part.strip() for part in value.split(",")]
        if not all(_BARE_ADDRESS.fullmatch(each) for each in addresses):
            return "for it is not a list of bare addresses."
        if len(self.copies) + len(addresses) > MAX_COPIES:
            return f"for it would make more than {MAX_COPIES} copies of every message."
        self.copies += addresses
        return None
