"""
What a client may say, and what it is told, as far as nothing has to be waited for.

Decides the order of commands and what each of them changes; the limits on errors and on commands that come to nothing.
It knows no connection: it is given lines, and what takes time is named and left to the session.

Invariants: nothing that was said before TLS counts after it; where TLS or a login is required, no transaction begins
without; a refused command changes nothing but the count of errors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import attrs

from ._envelope import forward_path, in_ascii, reverse_path
from ._options import RelayOptions
from ._replies import Refused

HOST_NAME: Final = "seslimit-relay"
"""Not the machine's own name: a mail server that is greeted with its own name believes to talk to itself."""

COMMAND_LENGTH: Final = 4096
"""Bytes of one command; the longest legal addresses fit."""

MAX_ERRORS: Final = 20
"""Commands that may be refused in one connection."""

MAX_IDLE_COMMANDS: Final = 100
"""Commands in a row that come to nothing: more than any client needs between two messages."""

OK: Final = "250 2.0.0 Ok"
TOO_LONG: Final = "500 5.5.2 Line too long"

_BEFORE_TLS: Final = frozenset({b"EHLO", b"HELO", b"STARTTLS", b"NOOP", b"RSET", b"QUIT"})
_IDLE: Final = frozenset({b"EHLO", b"HELO", b"NOOP", b"RSET", b"VRFY", b"HELP"})
_TAKE_TIME: Final = frozenset({b"STARTTLS", b"AUTH", b"DATA", b"QUIT"})
_WITH_ADDRESS: Final = frozenset({b"MAIL", b"RCPT"})
_HTTP: Final = frozenset({b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"PATCH", b"DELETE", b"CONNECT"})
"""What a browser begins with. A page that somebody visits can make it talk to this machine, and would otherwise send
mail through the lines of its request."""


@attrs.define
class Transaction:
    """
    An envelope that is being told.

    Args:
        mail_from: the return address.
        size: bytes that the content will have about; None where it was not told.
        dropped: names of parameters that change nothing, of MAIL and of RCPT.
    """

    mail_from: str
    size: int | None
    dropped: frozenset[str]
    recipients: list[str] = attrs.field(factory=list, init=False)
    converted: set[str] = attrs.field(factory=set, init=False)
    """Domains that were written in Punycode, as they were."""


class Command(NamedTuple):
    """A command that takes time, and its argument."""

    name: bytes
    argument: str


@attrs.define(eq=False)
class Dialogue:
    """
    The state of one conversation.

    Args:
        options: the relay's limits.
        offers_tls: whether there is a certificate.
    """

    options: RelayOptions
    offers_tls: bool
    extended: bool | None = attrs.field(default=None, init=False)
    """Whether the client said EHLO; None before its greeting."""
    secure: bool = attrs.field(init=False)
    """Whether it speaks over TLS."""
    authenticated: bool = attrs.field(default=False, init=False)
    transaction: Transaction | None = attrs.field(default=None, init=False)
    errors: int = attrs.field(default=0, init=False)
    """Commands that were refused."""
    idle_commands: int = attrs.field(default=0, init=False)
    """Commands since the last message that came to nothing."""
    _tls_required: bool = attrs.field(init=False)
    _answers: dict[bytes, Callable[[str], str]] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._tls_required = self.options.tls_required
        self.secure = self.options.tls_implicit
        self._answers = {
            b"EHLO": self._ehlo,
            b"HELO": self._helo,
            b"MAIL": self._mail,
            b"RCPT": self._rcpt,
            b"RSET": self._rset,
            b"NOOP": lambda _: OK,
            b"VRFY": lambda _: "252 2.5.0 SES knows when it has the message",
            b"HELP": lambda _: "214 2.0.0 MAIL, RCPT, DATA: the reply comes when SES has accepted the message",
        }

    @property
    def is_proven(self) -> bool:
        """Whether this is a client: it has logged in, or has begun a message where no login is needed."""
        return self.authenticated or (self.transaction is not None and not self.options.user)

    @property
    def enough(self) -> str | None:
        """The last words for a client that has used up its patience; None while it has not."""
        if self.errors > MAX_ERRORS:
            return "421 4.7.0 Too many errors"
        if self.idle_commands > MAX_IDLE_COMMANDS:
            return "421 4.7.0 Too many commands without a message"
        return None

    def now_secure(self) -> None:
        """TLS has come about: begin anew (RFC 3207, 4.2)."""
        self.secure = True
        self.extended = self.transaction = None
        self.authenticated = False

    def answer(self, line: bytes) -> str | Command:
        """
        The reply to one line, or the command that it is where that takes time.

        Raises:
            Refused: it cannot be done, or not now.
        """
        word, _, rest = line.rstrip(b"\r\n").partition(b" ")
        name = word.upper()
        if len(line) > COMMAND_LENGTH:
            raise Refused(TOO_LONG)
        answer = self._answers.get(name)
        if answer is None and name not in _TAKE_TIME:
            if name in _HTTP or name.endswith(b":"):
                raise Refused("421 4.7.0 This is no HTTP server", last=True)
            raise Refused("500 5.5.2 Command not recognized")
        if self._tls_required and not self.secure and name not in _BEFORE_TLS:
            raise Refused("530 5.7.0 Must issue a STARTTLS command first")
        if name in _IDLE:
            self.idle_commands += 1
        if name in _WITH_ADDRESS and answer is not None and not rest.isascii():
            return self._answer_in_ascii(answer, rest)
        # Whatever else is said in other letters, a host name for one (Windows sends what the machine is called), is
        # nothing that goes anywhere.
        argument = rest.decode("ascii", "replace").strip()
        return Command(name, argument) if answer is None else answer(argument)

    def _answer_in_ascii(self, answer: Callable[[str], str], argument: bytes) -> str:
        try:
            written = in_ascii(argument.decode("utf-8").strip())
        except UnicodeDecodeError:
            raise Refused("553 5.6.7 The address is neither ASCII nor UTF-8") from None
        reply = answer(written.argument)
        if self.transaction is not None:
            self.transaction.converted.add(written.domain)
        return reply

    def begin_content(self, argument: str) -> Transaction:
        """
        The transaction whose content comes next; it is over for the dialogue.

        Raises:
            Refused: there is none, or nobody to send it to.
        """
        if argument:
            raise Refused("501 5.5.4 Syntax: DATA")
        if self.transaction is None or not self.transaction.recipients:
            raise Refused("503 5.5.1 Send MAIL and RCPT first")
        transaction, self.transaction = self.transaction, None
        self.idle_commands = 0
        return transaction

    def check_tls(self, argument: str) -> None:
        """
        Whether TLS can begin.

        Raises:
            Refused: it cannot.
        """
        if argument:
            raise Refused("501 5.5.4 Syntax: STARTTLS")
        if not self.offers_tls or self.secure:
            raise Refused("503 5.5.1 TLS is not offered here, or is there already")

    def check_login(self) -> None:
        """
        Whether a login can begin.

        Raises:
            Refused: it cannot.
        """
        if not self.options.user:
            raise Refused("503 5.5.1 There is no login here")
        if self.extended is None:
            raise Refused("503 5.5.1 Send EHLO first")
        if self._tls_required and not self.secure:
            raise Refused("538 5.7.11 Encryption required for requested authentication mechanism")
        if self.authenticated or self.transaction is not None:
            raise Refused("503 5.5.1 Already authenticated, or in the middle of a transaction")

    def _ehlo(self, argument: str) -> str:
        extensions = ["8BITMIME", f"SIZE {self.options.max_size}", "PIPELINING"]
        if self.offers_tls and not self.secure:
            extensions.append("STARTTLS")
        if self.options.user and (self.secure or not self._tls_required):
            extensions.append("AUTH PLAIN LOGIN")
        self._greeted(argument, extended=True)
        *others, last = HOST_NAME, *extensions
        return "".join(f"250-{line}\r\n" for line in others) + f"250 {last}"

    def _helo(self, argument: str) -> str:
        self._greeted(argument, extended=False)
        return f"250 {HOST_NAME}"

    def _greeted(self, argument: str, *, extended: bool) -> None:
        if not argument:
            raise Refused("501 5.5.4 Syntax: EHLO hostname")
        self.extended = extended
        self.transaction = None

    def _mail(self, argument: str) -> str:
        if self.extended is None:
            raise Refused("503 5.5.1 Send EHLO first")
        if self.options.user and not self.authenticated:
            raise Refused("530 5.7.0 Authentication required")
        if self.transaction is not None:
            raise Refused("503 5.5.1 Sender already specified")
        self.transaction = Transaction(*reverse_path(argument, self.options.max_size))
        return "250 2.1.0 Ok"

    def _rcpt(self, argument: str) -> str:
        if self.transaction is None:
            raise Refused("503 5.5.1 Send MAIL first")
        recipient, dropped = forward_path(argument)
        if len(self.transaction.recipients) >= self.options.max_recipients:
            return "452 4.5.3 Too many recipients: send to the others in another transaction"
        self.transaction.recipients.append(recipient)
        if dropped:
            self.transaction.dropped |= dropped
        return "250 2.1.5 Ok"

    def _rset(self, argument: str) -> str:
        self.transaction = None
        return OK
