"""
The simulator: one account, one ledger, and the two doors through which mail comes in.

Assembles; what is decided, and how the doors behave, is in the modules beside it.

Invariants: it listens on loopback unless told otherwise; whatever it accepted is in its ledger before the client hears.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import attrs

from .._portal import Portal
from .._with_block import WithBlock
from ._account import SimulatedAccount
from ._api_door import APIDoor
from ._counting import CountingSpec, counting_of
from ._events import EventRules
from ._faults import Fault, Faults
from ._ledger import AcceptedMessage, Counts, Ledger, Tally
from ._profile import Profile
from ._publisher import Events
from ._rules import APIRules, SMTPRules
from ._schedule import Schedule, schedule_of
from ._service import Latency, Service
from ._smtp_door import SMTPDoor
from .services import Counting

LOOPBACK = "127.0.0.1"
R = TypeVar("R", SMTPRules, APIRules)


class Simulator(WithBlock):
    """
    A stand-in for Amazon SES: an SMTP door and an API door on one hidden token bucket.

    Use as an asynchronous context manager in the loop of a test, or `in_thread` beside a blocking client.

    Args:
        rate: the hidden send rate, recipients/s, or a `Schedule` of rates.
        depth: seconds of the rate that a bucket holds, never less than one token. SES does not publish its own.
        counting: how the recipients are counted: a name with figures (`"fixed:seconds=1"`, `"stale-0.5s"`), a
            `CountingSpec`, or an object of `seslimit.testing.services`.
        max_24_hour_send: the daily quota, recipients; -1 for none.
        sent_last_24_hours: recipients that count as sent before the start.
        day: length of the quota's window, seconds; shorter than a day to see it pass.
        refusal_cost: tokens that a refusal for the rate takes out of a bucket.
        latency: seconds before each reply, or the lowest and highest of uniformly random seconds.
        smtp: how SMTP sessions are treated.
        api: what the API tells, and whom it lets in.
        faults: what goes wrong on command.
        strict: whether malformed addresses, headers and lines are refused, as the service does; False takes them all.
        keep_content: whether the ledger keeps the content of accepted messages.
        ledger_limit: accepted messages that the ledger keeps, the latest ones; None for all, 0 for counts alone.
        host: address to listen on.
        smtp_port, api_port: ports to listen on; 0 takes a free one.
        seed: of everything random.
        events: which bounces and complaints come back, and where they are sent; none when left out.
    """

    def __init__(
        self,
        rate: float | Schedule = 14.0,
        *,
        depth: float = 1.0,
        counting: Counting | CountingSpec | str = "bucket",
        max_24_hour_send: float = -1.0,
        sent_last_24_hours: float = 0.0,
        day: float = 86_400.0,
        refusal_cost: float = 0.0,
        latency: Latency = 0.0,
        smtp: SMTPRules | None = None,
        api: APIRules | None = None,
        faults: Iterable[Fault] = (),
        strict: bool = True,
        keep_content: bool = False,
        ledger_limit: int | None = None,
        host: str = LOOPBACK,
        smtp_port: int = 0,
        api_port: int = 0,
        seed: int = 0,
        events: EventRules | None = None,
    ) -> None:
        self.account = SimulatedAccount(
            rate=rate,
            depth=depth,
            max_24_hour_send=max_24_hour_send,
            sent_last_24_hours=sent_last_24_hours,
            refusal_cost=refusal_cost,
            day=day,
            counting=counting_of(counting, schedule_of(rate), seed, depth=depth, refusal_cost=refusal_cost),
        )
        """The hidden bucket and the rolling day."""
        self.faults = Faults(faults, seed)
        """The plan of faults; more can be added at any time."""
        self.ledger = Ledger(keep_content=keep_content, limit=ledger_limit)
        """What was accepted and refused."""
        self.events = None if events is None else Events(events, seed)
        """What was told of accepted messages; None where nothing is."""
        told = None if self.events is None else self.events.accepted
        service = Service(self.account, self.ledger, self.faults, latency, seed, strict, told)
        self._smtp = SMTPDoor(service, smtp or SMTPRules())
        self._api = APIDoor(service, api or APIRules())
        self._host = host
        self._ports = (smtp_port, api_port)

    @classmethod
    def from_profile(cls, profile: Profile | Path | str, **options: Any) -> Simulator:
        """
        A simulator that behaves as a profile says.

        Args:
            profile: it, or the file that has it.
            options: further arguments of `Simulator`; what is given holds, of `smtp` and `api` what differs from their
                defaults.

        Raises:
            ConfigurationError: the file is no profile.
        """
        found = profile if isinstance(profile, Profile) else Profile.read(profile)
        smtp = _with_habits(options.pop("smtp", None) or SMTPRules(), found.habits("smtp"))
        api = _with_habits(options.pop("api", None) or APIRules(), found.habits("api"))
        figures: dict[str, Any] = {"rate": found.rate, "counting": found.counting, "smtp": smtp, "api": api}
        if found.max_24_hour_send is not None:
            figures["max_24_hour_send"] = found.max_24_hour_send
        return cls(**(figures | options))

    async def open(self) -> None:
        """Open both doors."""
        try:
            if self.events is not None:
                await self.events.open()
            await self._smtp.open(self._host, self._ports[0])
            await self._api.open(self._host, self._ports[1])
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """Close both doors and every connection, and send no event any more."""
        await asyncio.gather(self._smtp.close(), self._api.close())
        if self.events is not None:
            await self.events.aclose()

    @contextmanager
    def in_thread(self) -> Iterator[Simulator]:
        """
        Run on an event loop of its own in another thread, for blocking clients.

        The ledger may be read meanwhile; counts are exact once the clients have their answers.

        Raises:
            OSError: a port is taken, or the address is not of this machine.
        """
        with Portal("seslimit-simulator") as portal:
            portal.call(self.open)
            try:
                yield self
            finally:
                portal.call(self.aclose)

    @property
    def smtp_port(self) -> int:
        """The port of the SMTP door."""
        return self._smtp.port

    @property
    def api_port(self) -> int:
        """The port of the API door."""
        return self._api.port

    @property
    def smtp_url(self) -> str:
        """The SMTP door as a transport's URL, with a login that it accepts."""
        user, password = self._smtp.rules.credentials or ("user", "password")
        scheme = "smtps" if self._smtp.rules.tls == "implicit" else "smtp"
        options = "?tls=none" if self._smtp.rules.tls == "none" else ""
        login = f"{quote(user, safe='')}:{quote(password, safe='')}"
        return f"{scheme}://{login}@{self._url_host}:{self.smtp_port}{options}"

    @property
    def api_url(self) -> str:
        """The API door as an `endpoint_url`."""
        return f"http://{self._url_host}:{self.api_port}"

    @property
    def ses_url(self) -> str:
        """The API door as a transport's URL; the AWS chain has to have credentials, any will do."""
        return f"ses://us-east-1?endpoint_url={quote(self.api_url, safe='')}"

    @property
    def _url_host(self) -> str:
        return f"[{self._host}]" if ":" in self._host else self._host

    @property
    def accepted(self) -> list[AcceptedMessage]:
        """The accepted messages, in order, as far as the ledger keeps them."""
        return self.ledger.latest()

    @property
    def counts(self) -> Counts:
        """What was accepted and refused so far, in numbers."""
        return self.ledger.counts

    def duplicates(self) -> dict[str, int]:
        """The keys of messages that were accepted more than once, with how many times too often."""
        return self.ledger.duplicates()

    def missing(self, keys: Iterable[str]) -> list[str]:
        """Those of `keys` (values of `X-Seslimit-Key`) that were never accepted."""
        return self.ledger.missing(keys)

    def tally(self, begin: float, end: float) -> Tally:
        """What was decided from `begin` to `end`, in seconds since the first decision."""
        return self.ledger.tally(begin, end)


def _with_habits(rules: R, habits: Mapping[str, Any]) -> R:
    """Rules with a profile's figures, where nothing else was said."""
    default = type(rules)()
    unsaid = {name: value for name, value in habits.items() if getattr(rules, name) == getattr(default, name)}
    return attrs.evolve(rules, **unsaid)
