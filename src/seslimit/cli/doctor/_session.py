"""
`seslimit doctor`: an SMTP session from the greeting to the login, told step by step.

Invariants: the connection is opened by the code that opens it for messages, which is only watched here; no transaction
is begun.
"""

from __future__ import annotations

import asyncio
import ssl

import attrs

from ..._model.errors import TransportError
from ..._model.outcome import Stage
from ...transports.smtp import SMTPTransport
from ...transports.smtp._opening import Step, open_connection
from ...transports.smtp._reply import NoReply, SMTPReply
from .._ending import Status
from ._checks import Diagnosis
from ._login import login_given, login_refused
from ._reach import Place, milliseconds, not_secured, reason, verified

SLOW_GREETING = 2.0
"""Seconds: a greeting that takes longer is held back on purpose, or comes from far away."""

_TRUST = "SSL_CERT_FILE"


@attrs.define(eq=False)
class Session:
    """
    One opening of a connection, and the checks that its steps come to.

    Args:
        transport: where to, and with which login.
        place: the same for people.
        found: takes the checks.
    """

    transport: SMTPTransport
    place: Place
    found: Diagnosis
    offers: SMTPReply | None = attrs.field(default=None, init=False)
    """What the service offers to those who log in; None until it was heard."""
    _connected_at: float | None = attrs.field(default=None, init=False)
    _refused: SMTPReply | None = attrs.field(default=None, init=False)

    async def run(self, context: ssl.SSLContext) -> bool:
        """
        Open a connection, log in where a login is given, and drop it.

        Args:
            context: verifies the certificate.

        Returns:
            whether nothing was wrong.
        """
        asked = attrs.evolve(self.transport, connect_timeout=self.place.patience)
        try:
            connection = await open_connection(asked, context, self._step)
        except TransportError as error:
            self._failed(error)
            return False
        connection.transport.abort()
        return login_given(self.transport, self.offers, self.found)

    def _step(self, step: Step) -> None:
        if step.tls is not None:
            verified(step.tls, self.found)
        if step.reply is None:
            self._connected_at = self._connected_at or asyncio.get_running_loop().time()
        elif step.stage is Stage.CONNECT:
            self._greeting(step.reply)
        elif step.stage is Stage.EHLO and step.reply.code == 250:
            self._offered(step.reply)
        elif step.reply.code >= 400:
            self._refused = step.reply

    def _greeting(self, greeting: SMTPReply) -> None:
        took = asyncio.get_running_loop().time() - (self._connected_at or 0.0)
        words = f"after {milliseconds(took)}: {self._quoted(greeting)}"
        if greeting.code != 220:
            self._refused = greeting
        elif took < SLOW_GREETING:
            self.found.ok("greeting", words)
        else:
            self.found.warn("greeting", f"slow, {words}; every new connection waits as long")

    def _offered(self, offers: SMTPReply) -> None:
        if self.transport.tls == "starttls" and not self.found.has("tls"):
            return  # what counts is what is offered over TLS
        if self.transport.tls == "none":
            self.found.ok("tls", "none, which is accepted for this machine only")
        self.offers = offers
        named = {line.split()[0].upper(): line.split()[1:] for line in offers.message.split("\n")[1:] if line.split()}
        size = next((int(number) for number in named.get("SIZE", []) if number.isdecimal()), 0)
        told = (
            f"messages of at most {size / 2**20:,.0f} MiB (SIZE)"
            if size
            else "no SIZE, so how large a message may be is not told"
        )
        methods = named.get("AUTH", [])
        if {"PLAIN", "LOGIN"} & {method.upper() for method in methods}:
            self.found.ok("offers", f"{told}; login by {', '.join(methods)}")
        else:
            lacking = "no login by password (AUTH PLAIN or LOGIN): is it the SMTP endpoint of SES?"
            self.found.warn("offers", f"{told}; {lacking}")

    def _failed(self, error: TransportError) -> None:
        """What is wrong, by the step at which the opening ended."""
        cause = error.__cause__
        why = reason(cause) if isinstance(cause, Exception) else self.found.quote(error)
        if error.stage is Stage.AUTH:
            login_refused(self.transport, error, self.found)
        elif error.stage is Stage.STARTTLS or isinstance(cause, ssl.SSLError):
            self._not_secured(error, cause)
        elif isinstance(cause, NoReply):
            words = f"{self.place} does not speak SMTP ({why.rstrip('.')}): check host and port"
            self.found.wrong("greeting" if not self.found.has("greeting") else "session", words)
        elif error.stage is Stage.EHLO:
            self._broke_off_at_ehlo(error, why)
        elif self._refused is not None:
            said = self._quoted(self._refused)
            remedy = (
                "others use this account; wait, or lower their max_connections"
                if "connections" in said.lower()
                else "try again later"
            )
            words = f"the service takes no connection now ({said}): {remedy}"
            self.found.wrong("greeting", words, Status.REMAINING)
        else:
            self._not_greeted(error, cause, why)

    def _not_secured(self, error: TransportError, cause: BaseException | None) -> None:
        if self._refused is not None:
            words = f"STARTTLS was refused ({self._quoted(self._refused)}): try again, or smtps:// with port 465"
            self.found.wrong("tls", words, Status.REMAINING)
        elif isinstance(cause, OSError):
            hint = "if the port begins without TLS, as 587 does, write smtp://"
            implicit = self.transport.tls == "implicit"
            not_secured(self.place, cause, self.found, trust=_TRUST, hint=hint if implicit else "")
        else:
            words = (
                f"{self.place} offers no STARTTLS, so nothing would be sent: does something on the way (an antivirus, "
                "a firewall, a fake server) remove it? Try smtps:// with port 465"
            )
            self.found.wrong("tls", words)

    def _broke_off_at_ehlo(self, error: TransportError, why: str) -> None:
        refused = self._refused
        if refused is None:
            self.found.wrong("session", f"{self.place} broke off in the middle ({why}): try again", Status.REMAINING)
        elif refused.code >= 500:
            remedy = "check host and port; does something on the way answer in its place?"
            self.found.wrong("session", f"the service refused EHLO ({self._quoted(refused)}): {remedy}")
        else:
            words = f"the service refused EHLO ({self._quoted(refused)}): try again later"
            self.found.wrong("session", words, Status.REMAINING)

    def _not_greeted(self, error: TransportError, cause: BaseException | None, why: str) -> None:
        if self._connected_at is None and self.transport.tls == "implicit" and isinstance(cause, OSError):
            not_secured(self.place, cause, self.found, trust=_TRUST)
        elif cause is None:
            self.found.wrong("greeting", self.found.quote(error))
        else:
            starttls = self.transport.tls != "implicit"
            mixed = "; if the port begins with TLS, as 465 and 2465 do, write smtps://" if starttls else ""
            words = f"{self.place} does not greet ({why}): try again{mixed}"
            self.found.wrong("greeting", words, Status.REMAINING)

    def _quoted(self, reply: SMTPReply) -> str:
        return self.found.quote(f"{reply.code} {reply.message}".strip())
