"""
What the SMTP door answers to a command, in the words of the service, as far as nothing has to be waited for.

Decides the order of commands and what each of them changes. It knows no connection, no fault and no latency: it is
given a command and its argument, and what takes time (TLS, a login, a content) is the door's.

Source: captured sessions, and Amazon SES Developer Guide, "Amazon SES SMTP issues", read 2026-11; where neither shows a
reply, RFC 5321's code in words of our own.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import attrs

from ._refusals import MISSING_DOMAIN, address_refusal
from ._rules import SMTPRules
from ._texts import SMTPText

HOST_NAME: Final = "email-smtp.amazonaws.com"

BEFORE_TLS: Final = frozenset({"EHLO", "STARTTLS", "NOOP", "QUIT"})
"""Commands that are heard before TLS where it is required. Source: RFC 3207, 4."""

_ADDRESS: Final = re.compile(r'<((?:"(?:\\.|[^"\\])*"@)?[^<>\s"]*)>(?:\s(.*))?', re.DOTALL)
_PARAMETER: Final = re.compile(r"([A-Z0-9][A-Z0-9-]*)(?:=([^=\s]+))?")
_RCPT_SYNTAX: Final = "501 Syntax: RCPT TO: <address> [SP <mail-parameters>]"
_UNKNOWN_PARAMETERS: Final = "555 MAIL FROM parameters not recognized or not implemented"


@attrs.define(eq=False)
class SMTPDialogue:
    """
    The state of one conversation.

    Args:
        rules: how sessions are treated.
        strict: whether addresses that the service refuses are refused.
    """

    rules: SMTPRules
    strict: bool
    secure: bool = attrs.field(default=False, init=False)
    """Whether it is over TLS."""
    extended: bool | None = attrs.field(default=None, init=False)
    """Whether the client said EHLO; None before its greeting."""
    authenticated: bool = attrs.field(default=False, init=False)
    mail_from: str = attrs.field(default="", init=False)
    """Of the transaction that is open; empty where none is."""
    recipients: list[str] = attrs.field(factory=list, init=False)
    answers: dict[str, Callable[[str], str]] = attrs.field(init=False)
    """Command → what answers it, given its argument."""

    def __attrs_post_init__(self) -> None:
        self.answers = {
            "EHLO": self._ehlo,
            "HELO": self._helo,
            "MAIL": self._mail,
            "RCPT": self._rcpt,
            "RSET": self._rset,
            "NOOP": lambda _: SMTPText.OK,
            "VRFY": self._vrfy,
            "HELP": lambda _: self._unready("EHLO") or "250 See RFC 5321",
        }

    def now_secure(self) -> None:
        """TLS has come about: what was said before counts no more (RFC 3207, 4.2)."""
        self.secure = True
        self.extended = None
        self.authenticated = False
        self.forget_transaction()

    def forget_transaction(self) -> None:
        """No transaction is open any more."""
        self.mail_from, self.recipients = "", []

    def login_refusal(self) -> str | None:
        """Why a login cannot begin; None where it can."""
        if self.extended is None:
            return "503 Error: send EHLO first"
        if not self.extended:
            return "500 Error: command 'AUTH' not recognized"
        return "503 Already authenticated" if self.authenticated else None

    def content_refusal(self) -> str | None:
        """Why no content can come; None where it can."""
        return self._unready() or (None if self.recipients else "503 Error: need RCPT command")

    def _unready(self, greeting: str = "HELO") -> str | None:
        """Why nothing that belongs to a message is heard; None where it is."""
        if self.extended is None:
            return f"503 Error: send {greeting} first"
        return SMTPText.AUTH_REQUIRED if self.rules.auth_required and not self.authenticated else None

    def _ehlo(self, argument: str) -> str:
        self.forget_transaction()
        self.extended = True
        # As captured: on the ports with STARTTLS there is no SIZE, and AUTH is offered before TLS too.
        lines = [HOST_NAME, "8BITMIME"]
        if self.rules.tls != "starttls":
            lines += [f"SIZE {self.rules.max_size}"]
        elif not self.secure:
            lines += ["STARTTLS"]
        lines += ["AUTH PLAIN LOGIN"]
        return "".join(f"250-{line}\r\n" for line in lines) + SMTPText.OK

    def _helo(self, argument: str) -> str:
        if not argument:
            return "501 Syntax: HELO hostname"
        self.forget_transaction()
        self.extended = False
        return f"250 {HOST_NAME}"

    def _rset(self, argument: str) -> str:
        if argument:
            return "501 Syntax: RSET"
        self.forget_transaction()
        return SMTPText.OK

    def _vrfy(self, argument: str) -> str:
        if refusal := self._unready():
            return refusal
        return "252 The service knows when it has the message" if argument else "501 Syntax: VRFY <address>"

    def _mail(self, argument: str) -> str:
        told = self._address("FROM:", argument)
        if refusal := self._unready():
            return refusal
        if told is None:
            return f"553 <{_as_written(argument)}> Invalid email address"
        address, parameters = told
        if not address or (parameters and not self.extended):
            return SMTPText.INVALID_MAIL_FROM
        if self.mail_from:
            return SMTPText.ALREADY_SPECIFIED
        if refusal := self._parameters_refusal(parameters):
            return refusal
        self.mail_from = address
        return SMTPText.OK

    def _rcpt(self, argument: str) -> str:
        if refusal := self._unready():
            return refusal
        if not self.mail_from:
            return "503 Error: need MAIL command"
        told = self._address("TO:", argument)
        if told is None:
            return f"553 <{_as_written(argument)}> address unknown"
        address, parameters = told
        if not address:
            return _RCPT_SYNTAX
        if parameters:
            return "555 RCPT TO parameters not recognized or not implemented" if self.extended else _RCPT_SYNTAX
        self.recipients.append(address)
        return SMTPText.OK

    def _address(self, keyword: str, argument: str) -> tuple[str, str] | None:
        """The address in an argument, empty where there is none, and its parameters; None where it is malformed."""
        if argument[: len(keyword)].upper() != keyword:
            return "", ""
        written = argument[len(keyword) :].strip()
        match = _ADDRESS.fullmatch(written)
        if match is None:
            return None if written else ("", "")
        address = match.group(1)
        # An address without a domain is found out at the dot, as captured.
        if address and self.strict and address_refusal(address) not in (None, MISSING_DOMAIN):
            return None
        return address, (match.group(2) or "").strip()

    def _parameters_refusal(self, parameters: str) -> str | None:
        """Why MAIL is refused for its parameters: what EHLO did not offer is none."""
        found = [_PARAMETER.fullmatch(word) for word in parameters.upper().split()]
        given = {match[1]: match[2] for match in found if match is not None}
        if None in found:
            return SMTPText.INVALID_MAIL_FROM
        if given.pop("BODY", "7BIT") not in ("7BIT", "8BITMIME"):
            return "501 Error: BODY can only be one of 7BIT, 8BITMIME"
        if "SIZE" in given:
            size = given.pop("SIZE") or ""
            if not size.isdecimal():
                return SMTPText.INVALID_MAIL_FROM
            if int(size) > self.rules.max_size:
                return SMTPText.TOO_LONG
        return _UNKNOWN_PARAMETERS if given else None


def _as_written(argument: str) -> str:
    """The address in a malformed argument, as it is told to the client."""
    address = argument.partition(":")[2].strip().lstrip("<").partition(">")[0]
    return address.encode("ascii", "replace").decode()
