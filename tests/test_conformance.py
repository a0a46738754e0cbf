"""Both of our own transports keep the contract, on the simulator, with no test skipped."""

from __future__ import annotations

import asyncio
import inspect
import socket
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import quote

import attrs
import pytest
import trustme

from seslimit import Transport
from seslimit.testing import APIReply, Fault, Simulator, SMTPRules, SMTPText
from seslimit.testing.conformance import Lever, Received, ServiceUnderTest, TransportConformance
from seslimit.transports.ses import SESTransport, session_with
from seslimit.transports.smtp import SMTPTransport

ACCESS_KEY, SECRET_KEY = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
SESSION = session_with(ACCESS_KEY, SECRET_KEY)
"""One for all tests: it keeps the service's model, which takes longer to read than a test."""

USER, PASSWORD = "smtp-user", "swordfish-17"

TOO_MANY: Final = "TooManyRequestsException"
API_FAULTS: Final[Mapping[Lever, Fault]] = {
    Lever.THROTTLE: Fault("send", reply=APIReply(429, TOO_MANY, "Maximum sending rate exceeded."), times=None),
    Lever.EXCEED_QUOTA: Fault("send", reply=APIReply(429, TOO_MANY, "Daily message quota exceeded."), times=None),
    Lever.REFUSE_TRANSIENTLY: Fault("send", reply=APIReply(400, "LimitExceededException", "Too many."), times=None),
    Lever.REFUSE_PERMANENTLY: Fault("send", reply=APIReply(400, "MessageRejected", "Blacklisted."), times=None),
    Lever.BLOCK_ACCOUNT: Fault("send", reply=APIReply(400, "AccountSuspendedException", "Suspended."), times=None),
    Lever.BREAK_AFTER_CONTENT: Fault("send", end="reset", decided=True, times=None),
    Lever.STALL: Fault("send", silent=True, times=None),
}
SMTP_FAULTS: Final[Mapping[Lever, Fault]] = {
    Lever.THROTTLE: Fault("dot", reply=SMTPText.RATE_EXCEEDED, times=None),
    Lever.EXCEED_QUOTA: Fault("dot", reply=SMTPText.QUOTA_EXCEEDED, times=None),
    Lever.REFUSE_TRANSIENTLY: Fault("dot", reply=SMTPText.TEMPORARY_FAILURE, times=None),
    Lever.REFUSE_PERMANENTLY: Fault("dot", reply=SMTPText.BLACKLISTED, times=None),
    Lever.BLOCK_ACCOUNT: Fault("dot", reply=SMTPText.SUSPENDED, times=None),
    Lever.BREAK_BEFORE_CONTENT: Fault("data", end="reset", times=None),
    Lever.BREAK_AFTER_CONTENT: Fault("dot", end="reset", decided=True, times=None),
    Lever.STALL: Fault("dot", silent=True, times=None),
}


AUTHORITY = trustme.CA()
SERVER_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
AUTHORITY.issue_cert("127.0.0.1").configure_cert(SERVER_TLS)
CLIENT_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
CLIENT_TLS.minimum_version = ssl.TLSVersion.TLSv1_2
AUTHORITY.configure_trust(CLIENT_TLS)


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@attrs.define
class SimulatedService:
    """A door of the simulator, and a transport before it."""

    simulator: Simulator
    transport: Transport
    secrets: Sequence[str]

    @property
    def accepted(self) -> Sequence[Received]:
        """What the simulator accepted, in the kit's words."""
        return [
            Received(one.message_id, one.mail_from, one.recipients, one.content or b"")
            for one in self.simulator.accepted
        ]

    def _struck(self, stage: str) -> int:
        return sum(fault.stage == stage for fault in self.simulator.faults.struck)


@attrs.define
class APIService(SimulatedService):
    """The API door. A fault without effect strikes, and so counts, the attempts that nothing else strikes."""

    away: bool = False

    @property
    def attempts(self) -> int:
        """Requests to send."""
        return self._struck("send")

    @property
    def connections(self) -> int:
        """Connections at the API door."""
        runner = self.simulator._api._runner
        return 0 if runner is None or runner.server is None else len(runner.server.connections)

    async def behave(self, lever: Lever) -> None:
        """Strike every request, or do not even listen."""
        if self.away:
            await self.simulator.open()
        self.away = lever is Lever.BREAK_BEFORE_CONTENT
        if self.away:
            await self.simulator.aclose()
            # The transport's idle connections hear of it in the loop's next turns.
            await asyncio.sleep(0.01)
        self.simulator.faults.clear()
        self.simulator.faults.add(API_FAULTS.get(lever, Fault("send", times=None)))


@attrs.define
class SMTPService(SimulatedService):
    """The SMTP door. A fault without effect strikes every MAIL, and so counts the attempts."""

    @property
    def attempts(self) -> int:
        """Transactions begun."""
        return self._struck("mail")

    @property
    def connections(self) -> int:
        """Sessions at the SMTP door."""
        return len(self.simulator._smtp.sessions)

    async def behave(self, lever: Lever) -> None:
        """Strike every transaction."""
        self.simulator.faults.clear()
        self.simulator.faults.add(Fault("mail", times=None))
        if lever in SMTP_FAULTS:
            self.simulator.faults.add(SMTP_FAULTS[lever])


def simulator(**options: Any) -> Simulator:
    """A simulator without a limit that matters; the kit's contents are about bytes, and some are no mail."""
    return Simulator(100_000, strict=False, keep_content=True, **options)


class TestSESTransport(TransportConformance):
    """The API door."""

    url = f"ses://eu-west-1?endpoint_url={quote('https://localhost:1', safe='')}&tags=campaign=spring"

    @asynccontextmanager
    async def service(self, patience: float) -> AsyncIterator[ServiceUnderTest]:
        """The simulator's API door, on a port that it keeps when it goes away."""
        async with simulator(api_port=free_port()) as stand_in:
            transport = SESTransport("us-east-1", endpoint_url=stand_in.api_url, timeout=patience, session=SESSION)
            service = APIService(stand_in, transport, (SECRET_KEY,))
            await service.behave(Lever.ACCEPT)
            yield service


class TestSMTPTransport(TransportConformance):
    """The SMTP door."""

    url = f"smtp://{USER}:{PASSWORD}@localhost:2525?tls=none&configuration_set=news"

    @asynccontextmanager
    async def service(self, patience: float) -> AsyncIterator[ServiceUnderTest]:
        """The simulator's SMTP door, with STARTTLS and a login."""
        rules = SMTPRules(credentials=(USER, PASSWORD), tls="starttls", ssl_context=SERVER_TLS)
        async with simulator(smtp=rules) as stand_in:
            transport = SMTPTransport(
                "127.0.0.1",
                stand_in.smtp_port,
                user=USER,
                password=PASSWORD,
                tls_context=CLIENT_TLS,
                command_timeout=patience,
                dot_timeout=patience,
            )
            service = SMTPService(stand_in, transport, (PASSWORD, b64encode(PASSWORD.encode()).decode()))
            await service.behave(Lever.ACCEPT)
            yield service


def test_a_class_without_a_service_fails() -> None:
    """Pytest would pass over an abstract class, and a run without a single check would look like a success."""

    class Forgotten(TransportConformance):
        pass

    assert not inspect.isabstract(Forgotten)
    with pytest.raises(NotImplementedError, match=r"Forgotten has no service\(\)"):
        Forgotten().test_an_accepted_message_gives_a_receipt()  # type: ignore[abstract]
