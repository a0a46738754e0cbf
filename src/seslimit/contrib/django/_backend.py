"""
The e-mail backend: Django's messages in, and what became of each on it.

Decides how a message of Django's becomes one of ours, and what its caller hears. Threads of a web worker, processes of
Celery and whatever they fork use it alike: the sender behind it is the bridge's.
"""

from __future__ import annotations

import email
import email.policy
from collections.abc import Sequence
from typing import Any

import attrs
from django.core.mail.backends.base import BaseEmailBackend

from ..._composing.header import read_mailbox
from ..._model.endings import SendFailed, SendingStopped
from ..._model.errors import InvalidMessage, SESLimitError, printable
from ..._model.journal import JournalError
from ..._model.message import MAX_RECIPIENTS, Message
from ..._model.report import Report
from . import _anymail
from ._account import Account


@attrs.define
class _Mail:
    """
    One message of Django's.

    Args:
        message: it.
        parts: what is sent, each to at most 50 of its recipients.
        reports: of those that came to their end.
    """

    message: Any
    parts: list[Message]
    reports: list[Report] = attrs.field(factory=list)

    @property
    def error(self) -> SESLimitError | None:
        """Why it was not accepted as a whole; None where it was, or nothing is known of it."""
        return next((SendFailed(report) for report in self.reports if report.receipt is None), None)

    @property
    def accepted(self) -> bool:
        """Whether the service has taken it, all of it."""
        return len(self.reports) == len(self.parts) and self.error is None


class EmailBackend(BaseEmailBackend):  # type: ignore[misc]  # Django is not typed
    """
    Sends Django's messages through SES, waiting for the account's rate and never losing one to a throttle.

    After sending, a message has `seslimit_message_id`, the service's name for it (None where it was not accepted), and
    `seslimit_reports`, one `Report` for each 50 of its recipients.

    Args:
        fail_silently: whether what cannot be sent is passed over instead of raised.
        url: where to; `SESLIMIT_URL` when left out. It and the rates are `OPTIONS` of Django's `MAILERS` as well.
        rate: recipients/s to start with; `SESLIMIT_RATE` when left out.
        max_rate: recipients/s that are never exceeded; `SESLIMIT_MAX_RATE` when left out.
        shared: where the account's rate is shared with other processes, for example "redis://…" or "host:mail";
            `SESLIMIT_SHARED` when left out.
        outbox: the file or URL of an outbox that messages are put into, for `seslimit work` to send; `SESLIMIT_OUTBOX`
            when left out. Nothing is sent by this process then.

    Raises:
        ImproperlyConfigured: there is no URL, or something of it is wrong.
    """

    def __init__(
        self,
        fail_silently: bool = False,  # as Django calls it
        *,
        url: str | None = None,
        rate: float | None = None,
        max_rate: float | None = None,
        shared: str | None = None,
        outbox: str | None = None,
        **kwargs: Any,
    ) -> None:
        # Not handed on: from Django 6.1 on, `BaseEmailBackend` takes an unknown option as a mistake in MAILERS.
        super().__init__(**kwargs)
        self.fail_silently = fail_silently
        self._account = Account.told(url=url, rate=rate, max_rate=max_rate, shared=shared, outbox=outbox)

    def send_messages(self, email_messages: Sequence[Any]) -> int:
        """
        Send messages; returns how many the service accepted, or the outbox has.

        All of them are tried. Where one was not accepted, its error is raised at the end, the first one of several.

        Raises:
            SendFailed: a message was given up.
            AccountBlocked, QuotaExceeded, EndpointUnreachable: sending had to stop; the rest is unsent.
            JournalError: the outbox cannot be written; none of the messages is in it.
            InvalidMessage: an address or a header is malformed; nothing was sent.
        """
        mails = list(filter(None, map(self._mail, email_messages)))
        if self._account.outbox is not None:
            return self._add(mails)
        stopped = self._send(mails)
        for mail in mails:
            receipts = [report.receipt for report in mail.reports if report.receipt is not None]
            mail.message.seslimit_reports = tuple(mail.reports)
            mail.message.seslimit_message_id = receipts[0].message_id if receipts else None
            _anymail.after(type(self), mail.message, tuple(mail.reports))
        error = stopped or next(filter(None, (mail.error for mail in mails)), None)
        if error is not None and not self.fail_silently:
            raise error
        return sum(mail.accepted for mail in mails)

    def _add(self, mails: list[_Mail]) -> int:
        """Put messages into the outbox: what becomes of them is known there."""
        try:
            if mails:
                self._account.add([part for mail in mails for part in mail.parts])
        except JournalError:
            if not self.fail_silently:
                raise
            return 0
        return len(mails)

    def _send(self, mails: list[_Mail]) -> SendingStopped | None:
        """Send what there is; returns why it had to stop, if it had."""
        parts = [attrs.evolve(part, key=number) for number, mail in enumerate(mails) for part in mail.parts]
        if not parts:
            return None
        try:
            for report in self._account.sender().send_many(parts):
                mails[int(str(report.message.key))].reports.append(report)
        except SendingStopped as stop:
            return stop
        return None

    def _mail(self, message: Any) -> _Mail | None:
        """What is to be sent for a message of Django's; None where it is for nobody, or is held back."""
        if not _anymail.before(type(self), message) or not message.recipients():
            return None
        try:
            sender = _address(message.from_email)
            recipients = [_address(each) for each in message.recipients()]
            # As it would be written, and read again: Django's own classes of a message serialise in no other way, and
            # what they leave in eight bits SES would change.
            content = email.message_from_bytes(message.message().as_bytes(), policy=email.policy.SMTP)
            chunks = [recipients[begin : begin + MAX_RECIPIENTS] for begin in range(0, len(recipients), MAX_RECIPIENTS)]
            return _Mail(message, [Message(sender, chunk, content) for chunk in chunks])
        except (InvalidMessage, ValueError):  # Django's BadHeaderError is one
            if self.fail_silently:
                return None
            raise


def _address(text: str) -> str:
    """
    The address of `Name <local@domain>`, its domain in ASCII.

    Raises:
        InvalidMessage: it is neither that nor an address alone.
    """
    found = read_mailbox(str(text))
    if found is None:
        raise InvalidMessage(f"{printable(str(text))!r} is not of the form Name <local@domain>.")
    local, at, domain = found[1].rpartition("@")
    try:
        return f"{local}{at}{domain.encode('idna').decode('ascii')}" if not domain.isascii() else found[1]
    except UnicodeError:
        return found[1]
