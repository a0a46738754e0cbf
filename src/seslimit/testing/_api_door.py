"""
The API door, over HTTP without TLS: SendEmail, SendBulkEmail, CreateEmailTemplate and GetAccount of the SES API v2, and
SendEmail, SendRawEmail and GetSendQuota of version 1.

Hands messages to the service, and answers in the JSON or XML that the AWS SDKs read. Whether credentials are good is a
rule, and signatures are looked at where the rules name a secret. Connections are `_api_wire`'s.

Invariant: a message is decided when its request has been read, before the reply's latency.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Final

import attrs
from aiohttp import web

from ._account import SimulatedAccount, Verdict
from ._api_request import Malformed, bulk, submission, template_of
from ._api_wire import Connections, read, response_of, struck
from ._faults import APIReply, Stage
from ._query import Query
from ._rules import APIRules
from ._service import Service
from ._signed import signature_fault
from ._texts import QUOTA_EXCEEDED, RATE_EXCEEDED, REQUEST_RATE_EXCEEDED

BULK: Final = "/v2/email/outbound-bulk-emails"
TEMPLATES: Final = ("POST", "/v2/email/templates")
VERSION_1: Final = ("POST", "/")

STAGES: Final = {
    ("POST", "/v2/email/outbound-emails"): Stage.SEND,
    ("POST", BULK): Stage.SEND,
    ("GET", "/v2/email/account"): Stage.ACCOUNT,
}
UNKNOWN: Final = APIReply(
    404,
    "UnknownOperationException",
    "The simulator has SendEmail, SendBulkEmail, CreateEmailTemplate and GetAccount; of version 1 SendEmail, "
    "SendRawEmail and GetSendQuota.",
)

BESIDE_CONTENT: Final = 2 * 1024 * 1024
"""Bytes of a request beside its message in base64: addresses, labels, and the slashes that some clients escape."""

TOO_LARGE: Final = APIReply(413, message="Request Entity Too Large")
"""To a request that no message within the limit can have. Source: RFC 9110, 15.5.14; what SES says is not known."""

FORCED_AFTER: Final = 0.05
"""Seconds from breaking the connections off to giving up on what still answers them; 0 would wait for ever."""

TOO_MANY: Final = "TooManyRequestsException"
THROTTLED: Final = {
    Verdict.RATE_EXCEEDED: APIReply(429, TOO_MANY, RATE_EXCEEDED),
    Verdict.QUOTA_EXCEEDED: APIReply(429, TOO_MANY, QUOTA_EXCEEDED),
}
IN_BULK: Final = {
    Verdict.RATE_EXCEEDED: "ACCOUNT_THROTTLED",
    Verdict.QUOTA_EXCEEDED: "ACCOUNT_DAILY_QUOTA_EXCEEDED",
}
"""Source: SES API v2 reference, BulkEmailEntryResult; read 2026-11."""

SIGNATURES: Final = {
    "MissingAuthenticationTokenException": "Missing Authentication Token",
    "UnrecognizedClientException": "The security token included in the request is invalid.",
    "SignatureDoesNotMatch": "The request signature we calculated does not match the signature you provided. Check "
    "your AWS Secret Access Key and signing method. Consult the service documentation for details.",
}
CREDENTIALS: Final = {
    "unknown": APIReply(403, "UnrecognizedClientException", "The security token included in the request is invalid."),
    "expired": APIReply(403, "ExpiredTokenException", "The security token included in the request is expired"),
}
ACCOUNT_REFUSED: Final = {
    "denied": APIReply(403, "AccessDeniedException", "User is not authorized to perform: ses:GetAccount"),
    "throttled": APIReply(429, TOO_MANY, REQUEST_RATE_EXCEEDED),
}


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
    _connections: Connections | None = attrs.field(default=None, init=False)
    _account_calls: SimulatedAccount = attrs.field(init=False)
    _told: tuple[float, float] | None = attrs.field(default=None, init=False)
    _templates: dict[str, Mapping[str, Any]] = attrs.field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self._account_calls = SimulatedAccount(self.rules.get_account_rate)

    async def open(self, host: str, port: int) -> None:
        """Listen on `host` and `port`; 0 takes a free port."""
        self._connections = Connections(self._answer, self.rules)
        self._runner = web.ServerRunner(self._connections, shutdown_timeout=FORCED_AFTER)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, backlog=1024)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def close(self) -> None:
        """Stop listening and break every connection off."""
        runner, self._runner = self._runner, None
        if runner is None or self._connections is None:
            return
        self._connections.break_off()
        await runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        last = self._connections is not None and self._connections.is_last(request)
        response = await self._response(request)
        if last:
            response.force_close()
        return response

    async def _response(self, request: web.BaseRequest) -> web.StreamResponse:
        self.service.ledger.counts.api_requests += 1
        content = await read(request, self._longest_request)
        query = Query.read(content) if (request.method, request.path) == VERSION_1 else None
        stage = query.stage if query else STAGES.get((request.method, request.path))
        fault = None if stage is None else self.service.faults.draw(stage)
        if fault is not None and not fault.decided:
            if fault.replaces:
                await asyncio.sleep(self.service.wait())
            await asyncio.sleep(fault.delay)
            if fault.replaces:
                return await struck(request, fault, query)
        reply = self._refusal(request, content) or self._reply(request, stage, content, query)
        if wait := self.service.wait():
            await asyncio.sleep(wait)
        if fault is not None and fault.decided:
            await asyncio.sleep(fault.delay)
            if fault.replaces:
                return await struck(request, fault, query)
        return response_of(reply, query)

    @property
    def _longest_request(self) -> int:
        return (self.rules.max_size + 2) // 3 * 4 + BESIDE_CONTENT

    def _refusal(self, request: web.BaseRequest, content: bytes | None) -> APIReply | None:
        """What is said to whoever has no good credentials."""
        if self.rules.credentials != "accepted":
            return CREDENTIALS[self.rules.credentials]
        if self.rules.key is None or content is None:
            return None
        path, _, query = request.raw_path.partition("?")
        headers = request.headers
        fault = signature_fault(
            self.rules.key, request.method, path, query, lambda name: ",".join(headers.getall(name, [])), content
        )
        return None if fault is None else APIReply(403, fault, SIGNATURES[fault])

    def _reply(
        self, request: web.BaseRequest, stage: Stage | None, content: bytes | None, query: Query | None
    ) -> APIReply:
        if stage is Stage.ACCOUNT:
            return self._account()
        is_template = (request.method, request.path) == TEMPLATES
        if stage is None and not is_template:
            return UNKNOWN
        if content is None:
            self.service.ledger.counts.invalid += 1
            return TOO_LARGE
        try:
            if is_template:
                name, self._templates[name] = template_of(content)
                return APIReply(200, body=b"{}")
            if request.path == BULK:
                return self._bulk(content)
            return self._send(query.as_version_2() if query else content)
        except Malformed as error:
            self.service.ledger.counts.invalid += 1
            return APIReply(400, "BadRequestException", str(error))

    def _send(self, content: bytes) -> APIReply:
        asked = submission(content, self.rules.max_size, strict=self.service.strict, templates=self._templates)
        decision = self.service.decide(asyncio.get_running_loop().time(), asked)
        if decision.verdict is Verdict.ACCEPTED:
            return APIReply(200, body=json.dumps({"MessageId": decision.message_id}).encode())
        return THROTTLED[decision.verdict]

    def _bulk(self, content: bytes) -> APIReply:
        """Each entry has a result of its own inside a 200, the throttled ones too."""
        asked = bulk(content, self.rules.max_size, strict=self.service.strict, templates=self._templates)
        results: list[dict[str, str]] = []
        for entry in asked:
            if isinstance(entry, Malformed):
                self.service.ledger.counts.invalid += 1
                results.append({"Status": "INVALID_PARAMETER", "Error": str(entry)})
                continue
            decision = self.service.decide(asyncio.get_running_loop().time(), entry)
            if decision.verdict is Verdict.ACCEPTED:
                results.append({"Status": "SUCCESS", "MessageId": decision.message_id})
            else:
                results.append({"Status": IN_BULK[decision.verdict], "Error": THROTTLED[decision.verdict].message})
        return APIReply(200, body=json.dumps({"BulkEmailEntryResults": results}).encode())

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
