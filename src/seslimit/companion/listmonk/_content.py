"""
The message that a post comes to: its envelope, its headers, its text, its HTML and its files.

Decides how the parts are put together. It must not know where a post came from, nor what time it is.

Invariants: whatever listmonk's own e-mail would have and the post does not bring is put back: a plain alternative, the
date, the way to unsubscribe, the campaign's headers.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from html import escape
from urllib.parse import quote

import attrs

from seslimit import InvalidMessage, Message

from ..._composing.header import header_line, mailbox_line
from ..._composing.parts import (
    Part,
    alternatives,
    attachment_part,
    composed,
    is_content_id,
    text_part,
    with_attachments,
    with_inline,
)
from ._headers import CampaignHeaders, Rules, campaign_headers
from ._plain_text import plain_text
from ._post import BadPost, Post

STAND_IN = "5e511317-0000-4000-8000-000000000000"
"""Stands for the subscriber's uuid while text is made: pages that differ in nothing else are read once."""

_PAGE = re.compile(r"\s*+(?:<!--.*?-->\s*+)*+<(?:!doctype\s+html|html)\b", re.IGNORECASE | re.DOTALL)
"""What was taken is not given back: a comment has one end."""
_PERCENT = re.compile(r"%[0-9A-F]{2}")
_TAG = re.compile(r"<[A-Za-z!/]")


@attrs.frozen
class Composed:
    """A message, and a sentence for each thing of the post that was left out or written otherwise."""

    message: Message
    dropped: tuple[str, ...]


def compose(post: Post, rules: Rules, date: str) -> Composed:
    """
    The message of a post.

    Args:
        post: what listmonk posted.
        rules: what is added to a campaign's headers, and what may be among them.
        date: for the Date header, as RFC 5322 writes it.

    Raises:
        BadPost: no message can be made of it.
    """
    headers = campaign_headers(post, rules)
    try:
        content = composed(_head(post, headers, date), _body(post))
        # A subscriber who is also in Cc or Bcc gets one copy.
        recipients = tuple(dict.fromkeys((post.recipient.email, *headers.copies)))
        mail_from = headers.return_path or post.from_address
        return Composed(Message(mail_from, recipients, content, post.label), (*post.notes, *headers.dropped))
    except InvalidMessage as error:
        raise BadPost("", f"makes no message: {error}", post.label) from None


def _head(post: Post, headers: CampaignHeaders, date: str) -> list[bytes]:
    return [
        mailbox_line("From", [(post.from_name, post.from_address)]),
        mailbox_line("To", [(post.recipient.name, post.recipient.email)]),
        header_line("Subject", post.subject),
        header_line("Date", date),
        *headers.lines,
    ]


def _body(post: Post) -> Part:
    if not is_html(post):
        attached = [attachment_part(each.name, each.content_type, each.content) for each in post.attachments]
        return with_attachments(text_part(post.body, "plain"), attached)
    page = post.body
    inline: list[Part] = []
    attached = []
    for each in post.attachments:
        content_id = _written_id(each.content_id)
        part = attachment_part(each.name, each.content_type, each.content, content_id)
        (inline if content_id else attached).append(part)
        if content_id != each.content_id:
            page = _with_id(page, each.content_id, content_id)
    html = with_inline(text_part(page, "html"), inline)
    text = _alternative(post.body, post.recipient.uuid)
    # Nothing but pictures: an empty text would be shown in their place.
    parts = [text_part(text, "plain"), html] if text else [html]
    return with_attachments(alternatives(parts), attached)


def _written_id(content_id: str) -> str:
    """A content id as a header may hold it: listmonk takes file names for them, with letters of any script."""
    if not content_id or is_content_id(content_id):
        return content_id
    return f"{hashlib.blake2b(content_id.encode(), digest_size=12).hexdigest()}@seslimit"


def _with_id(page: str, before: str, after: str) -> str:
    """The page with its references to a content id changed: as it is, or percent-encoded in either case of letters."""
    encoded = quote(before, safe="")
    lower = _PERCENT.sub(lambda found: found[0].lower(), encoded)
    for spelling in (before, escape(before), encoded, lower):
        page = page.replace(f"cid:{spelling}", f"cid:{after}")
    return page


def is_html(post: Post) -> bool:
    """Whether the body is HTML: a "plain" campaign is, too, where its template is a page."""
    if post.content_type == "plain":
        return bool(_PAGE.match(post.body))
    return bool(post.content_type) or bool(_TAG.search(post.body))


def _alternative(html: str, uuid: str) -> str:
    if len(uuid) != len(STAND_IN) or STAND_IN in html:
        return plain_text(html)
    return _text_of(html.replace(uuid, STAND_IN)).replace(STAND_IN, uuid)


@lru_cache(maxsize=4)
def _text_of(html: str) -> str:
    return plain_text(html)
