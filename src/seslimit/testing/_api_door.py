"""
The API door: SendEmail and GetAccount of the SES API v2, over HTTP without TLS.

Reads requests, hands messages to the service, and answers in the JSON that the AWS SDKs read. It knows nothing of
signatures: whether credentials are good is a rule.

Invariants: a message is decided when its request has been read, before the reply's latency.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import email.message
import email.parser
import email.policy
import email.utils
import json
import socket
import struct
import uuid
from collections.abc import Mapping
from typing import Any, Final, NoReturn

import attrs
from aiohttp import web

from ._account import SimulatedAccount, Verdict
from ._faults import APIReply, End, Fault, Stage
from ._ledger import Submission
from ._rules import APIRules
from ._service import MAX_RECIPIENTS, Service
from ._texts import QUOTA_EXCEEDED, RATE_EXCEEDED, REQUEST_RATE_EXCEEDED

STAGES: Final = {
    ("POST", "/v2/email/outbound-emails"): Stage.SEND,
    ("GET", "/v2/email/account"): Stage.ACCOUNT,
}
UNKNOWN: Final = APIReply(404, "UnknownOperationException", "The simulator has SendEmail and GetAccount only.")

FORCED_AFTER: Final = 0.05
"""Seconds from breaking the connections off to giving up on what still answers them; 0 would wait for ever."""

TOO_MANY: Final = "TooManyRequestsException"
THROTTLED: Final = {
    Verdict.RATE_EXCEEDED: APIReply(429, TOO_MANY, RATE_EXCEEDED),
    Verdict.QUOTA_EXCEEDED: APIReply(429, TOO_MANY, QUOTA_EXCEEDED),
}
CREDENTIALS: Final = {
    "unknown": APIReply(403, "UnrecognizedClientException", "The security token included in the request is invalid."),
    "expired": APIReply(403, "ExpiredTokenException", "The security token included in the request is expired"),
}
ACCOUNT_REFUSED: Final = {
    "denied": APIReply(403, "AccessDeniedException", "User is not authorized to perform: ses:GetAccount"),
    "throttled": APIReply(429, TOO_MANY, REQUEST_RATE_EXCEEDED),
}


class _Malformed(Exception):
    """A request that SES answers with BadRequestException."""


@attrs.define(eq=False)
class APIDoor:
    """
    Listens for the API and hands what arrives to the service.

    Args:
        service: decides.
        rules: what is told, and who is let in.
    """

    service: Service
    rules: APIRules
    port: int = attrs.field(default=0, init=False)
    _runner: web.ServerRunner | None = attrs.field(default=None, init=False)
    _account_calls: SimulatedAccount = attrs.field(init=False)
    _told: tuple[float, float] | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._account_calls = SimulatedAccount(self.rules.get_account_rate)

    async def open(self, host: str, port: int) -> None:
        """Listen on `host` and `port`; 0 takes a free port."""
        # A request ends with its connection, or one that is never answered would stay until the door closes.
        server = web.Server(self._answer, access_log=None, handler_cancellation=True)
        self._runner = web.ServerRunner(server, shutdown_timeout=FORCED_AFTER)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, backlog=1024)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def close(self) -> None:
        """Stop listening and break every connection off."""
        runner, self._runner = self._runner, None
        if runner is None or runner.server is None:
            return
        for connection in runner.server.connections:
            if connection.transport is not None:
                connection.transport.abort()
        await runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.service.ledger.counts.api_requests += 1
        content = await request.content.read()
        stage = STAGES.get((request.method, request.path))
        fault = None if stage is None else self.service.faults.draw(stage)
        if fault is not None and not fault.decided:
            if fault.replaces:
                await asyncio.sleep(self.service.wait())
            await asyncio.sleep(fault.delay)
            if fault.replaces:
                return await _struck(request, fault)
        reply = self._reply(stage, content)
        if wait := self.service.wait():
            await asyncio.sleep(wait)
        if fault is not None and fault.decided:
            await asyncio.sleep(fault.delay)
            if fault.replaces:
                return await _struck(request, fault)
        return _response(reply)

    def _reply(self, stage: Stage | None, content: bytes) -> APIReply:
        if stage is None:
            return UNKNOWN
        if self.rules.credentials != "accepted":
            return CREDENTIALS[self.rules.credentials]
        if stage is Stage.ACCOUNT:
            return self._account()
        try:
            submission = _submission(content, self.rules.max_size)
        except _Malformed as error:
            self.service.ledger.counts.invalid += 1
            return APIReply(400, "BadRequestException", str(error))
        decision = self.service.decide(asyncio.get_running_loop().time(), submission)
        if decision.verdict is Verdict.ACCEPTED:
            return APIReply(200, body=json.dumps({"MessageId": decision.message_id}).encode())
        return THROTTLED[decision.verdict]

    def _account(self) -> APIReply:
        now = asyncio.get_running_loop().time()
        if self._account_calls.decide(now, 1) is not Verdict.ACCEPTED:
            return ACCOUNT_REFUSED["throttled"]
        if self.rules.get_account != "allowed":
            return ACCOUNT_REFUSED[self.rules.get_account]
        account = self.service.account
        told_rate = self.rules.max_send_rate
        figures = {
            "SendQuota": {
                "Max24HourSend": float(account.max_24_hour_send),
                "MaxSendRate": float(account.send_rate(now) if told_rate is None else told_rate),
                "SentLast24Hours": float(self._sent(now)),
            },
            "SendingEnabled": self.rules.sending_enabled,
            "ProductionAccessEnabled": self.rules.production_access_enabled,
            "EnforcementStatus": self.rules.enforcement_status,
            "DedicatedIpAutoWarmupEnabled": False,
        }
        return APIReply(200, body=json.dumps(figures).encode())

    def _sent(self, now: float) -> float:
        """The recipients of the last 24 hours, as old as the rules say."""
        if self._told is None or now - self._told[0] >= self.rules.sent_lag:
            self._told = (now, self.service.account.sent(now))
        return self._told[1]


async def _struck(request: web.BaseRequest, fault: Fault) -> web.StreamResponse:
    """Carry out a fault that replaces the reply."""
    if not isinstance(fault.reply, APIReply):
        return await _unanswered(request, fault.end)
    response = _response(fault.reply)
    if fault.end is End.KEEP:
        return response
    response.force_close()
    if fault.end is not End.CLOSE:
        await response.prepare(request)
        await response.write_eof()
        _break_off(request, fault.end)
    return response


async def _unanswered(request: web.BaseRequest, end: End) -> NoReturn:
    """Say nothing, until the connection ends and this request with it."""
    _break_off(request, end)
    while True:
        await asyncio.get_running_loop().create_future()


def _break_off(request: web.BaseRequest, end: End) -> None:
    transport = request.transport
    if transport is None or end is End.KEEP:
        return
    if end is End.RESET:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _response(reply: APIReply) -> web.Response:
    headers = {"x-amzn-RequestId": str(uuid.uuid4())}
    if reply.error is not None:
        headers["x-amzn-ErrorType"] = reply.error
    return web.Response(status=reply.status, body=reply.payload(), headers=headers, content_type="application/json")


def _submission(content: bytes, max_size: int) -> Submission:
    """The message of a SendEmail request."""
    try:
        request = json.loads(content)
        raw = base64.b64decode(request["Content"]["Raw"]["Data"], validate=True)
        destination = dict(request.get("Destination") or {})
    except (ValueError, KeyError, TypeError, binascii.Error):
        raise _Malformed("The simulator takes JSON with Content.Raw.Data in base64.") from None
    if len(raw) > max_size:
        raise _Malformed("Message length is more than the allowed size.")
    headers = email.parser.BytesHeaderParser(policy=email.policy.compat32).parsebytes(raw)
    recipients = _recipients(destination, headers)
    if not recipients:
        raise _Malformed("Missing required destination.")
    if len(recipients) > MAX_RECIPIENTS:
        raise _Malformed(f"Recipient count exceeds {MAX_RECIPIENTS}.")
    if not all("@" in recipient for recipient in recipients):
        raise _Malformed("Missing final '@domain'")
    mail_from = request.get("FromEmailAddress") or headers.get("From", "")
    return Submission("api", str(mail_from), tuple(recipients), raw)


def _recipients(destination: Mapping[str, Any], headers: email.message.Message) -> list[str]:
    fields = ("ToAddresses", "CcAddresses", "BccAddresses")
    named = [str(address) for field in fields for address in destination.get(field) or ()]
    if named:
        return named
    values = [str(value) for name in ("To", "Cc", "Bcc") for value in headers.get_all(name, [])]
    return [address for _, address in email.utils.getaddresses(values) if address]
