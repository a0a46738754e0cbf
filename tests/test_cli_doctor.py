"""`seslimit doctor`: each thing that can be wrong is named, with what to do and the exit status; no secret is shown."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import attrs
import pytest
import trustme

from seslimit._model.quota import SendQuota
from seslimit.cli._commands import run
from seslimit.cli._ending import Status
from seslimit.cli.doctor._account import account_checks, clock_check, refusal_of
from seslimit.cli.doctor._checks import Check, Diagnosis, State
from seslimit.cli.doctor._doctor import diagnose
from seslimit.testing import APIReply, APIRules, Fault, Simulator, SMTPRules, SMTPText

pytestmark = pytest.mark.once

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
TOKEN = "FwoGZXIvYXdzEXAMPLETOKEN"
PASSWORD = "BM1ppSw0rd+of/SES="
PROXY_PASSWORD = "pr0xy-passw0rd"
LOGIN = f"smtpuser:{quote(PASSWORD, safe='')}@"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials in the environment, nothing else of AWS's, no proxy and no login."""
    names = ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN", "AWS_CA_BUNDLE", "SSL_CERT_FILE")
    login = ("SESLIMIT_SMTP_USER", "SESLIMIT_SMTP_PASSWORD")
    for name in (*names, *login, "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)


@attrs.frozen
class Said:
    """What the command printed."""

    status: int
    out: str
    err: str

    def words(self, name: str) -> tuple[str, str]:
        """State and words of the last check of that name."""
        found = [line.split(None, 2) for line in self.out.splitlines()]
        return next((parts[0], parts[2]) for parts in reversed(found) if len(parts) == 3 and parts[1] == name)

    @property
    def states(self) -> dict[str, str]:
        """The checks' states by their names, in order."""
        lines = [line.split(None, 2) for line in self.out.splitlines()]
        return {parts[1]: parts[0] for parts in lines if parts and parts[0] in list(State)}


@pytest.fixture
def doctor(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Run the command; what it prints has no secret and no traceback."""

    def examine(url: str, *options: str) -> Said:
        status = run(["doctor", "--to", url, *options])
        printed = capsys.readouterr()
        everything = printed.out + printed.err
        login = base64.b64encode(f"\0smtpuser\0{PASSWORD}".encode()).decode()
        for secret in (SECRET, TOKEN, PASSWORD, PROXY_PASSWORD, quote(PASSWORD, safe=""), login, "Traceback"):
            assert secret not in everything
        return Said(status, printed.out, printed.err)

    return examine


Doctor = Callable[..., Said]
Start = Callable[..., Simulator]


# The API


def test_an_account_that_is_well(doctor: Doctor, ses_simulator: Start) -> None:
    """Every check is ok, the figures are told, no message is sent."""
    simulator = ses_simulator(14, max_24_hour_send=50_000, sent_last_24_hours=12_000)
    said = doctor(simulator.ses_url)
    names = [
        "url",
        "region",
        "endpoint",
        "tls",
        "clock",
        "credentials",
        "permission",
        "sending",
        "standing",
        "sandbox",
        "quota",
        "rate",
    ]
    assert (said.status, said.states, said.err) == (0, dict.fromkeys(names, "ok"), "")
    assert said.words("quota")[1] == "38,000 of 50,000 recipients are left in the rolling 24 hours (12,000 used)"
    assert "14.0 recipients/s" in said.words("rate")[1]
    assert "AKIA…MPLE (from env)" in said.words("credentials")[1]
    assert said.out.splitlines()[-1] == "Nothing wrong, 0 warnings."
    assert (simulator.counts.accepted, simulator.counts.api_requests) == (0, 1)


ACCOUNTS = [
    (APIRules(production_access_enabled=False), 0, "sandbox", "warning", ["verified recipients", "200", "1/s"]),
    (APIRules(sending_enabled=False), 3, "sending", "wrong", ["paused", "SES console"]),
    (APIRules(enforcement_status="PROBATION"), 0, "standing", "warning", ["under review", "PROBATION"]),
    (APIRules(enforcement_status="SHUTDOWN"), 3, "standing", "wrong", ["SHUTDOWN", "Support"]),
    (APIRules(get_account="denied"), 0, "permission", "warning", ["ses:GetAccount", "--rate", "learned"]),
    (APIRules(get_account="throttled"), 0, "account", "warning", ["too often", "again"]),
    (APIRules(credentials="unknown"), 2, "credentials", "wrong", ["does not know this access key", "AKIA…MPLE"]),
    (APIRules(credentials="expired"), 2, "credentials", "wrong", ["have expired", "new ones"]),
]


@pytest.mark.parametrize(("rules", "status", "name", "state", "parts"), ACCOUNTS, ids=lambda value: str(value)[:30])
def test_what_the_account_says(
    rules: APIRules,
    status: int,
    name: str,
    state: str,
    parts: list[str],
    doctor: Doctor,
    ses_simulator: Start,
) -> None:
    """The one check that is not ok, its remedy, and the exit status."""
    said = doctor(ses_simulator(14, api=rules).ses_url)
    assert (said.status, said.words(name)[0]) == (status, state)
    assert [part for part in parts if part not in said.words(name)[1]] == []
    assert {other for other, how in said.states.items() if how != "ok"} == {name}


def test_the_account_is_asked_again_after_a_throttle(doctor: Doctor, ses_simulator: Start) -> None:
    """Somebody else's GetAccount in the same second is no finding."""
    throttle = Fault("account", reply=APIReply(429, "TooManyRequestsException", "Rate exceeded"))
    said = doctor(ses_simulator(14, faults=[throttle]).ses_url)
    assert (said.status, said.states["rate"]) == (0, "ok")


REFUSALS = [
    (APIReply(403, "SignatureDoesNotMatch", "The request signature we calculated…"), 2, "credentials", "secret access"),
    (APIReply(403, "InvalidSignatureException", f"x\nx-amz-security-token:{TOKEN}"), 2, "credentials", "secret access"),
    (
        APIReply(403, "SignatureDoesNotMatch", "Signature expired: 2026 is now earlier than…"),
        2,
        "credentials",
        "time sync",
    ),
    (APIReply(403, "OptInRequired", "not signed up"), 2, "account", "not signed up for SES"),
    (APIReply(503, None, "busy"), 75, "account", "try again later"),
    (APIReply(404, None, body=b"<html>not here</html>"), 2, "answer", "endpoint_url"),
    (APIReply(200, None, body=b"<html>hello</html>"), 2, "answer", "endpoint_url"),
    (APIReply(200, None, body=b"{}"), 2, "answer", "endpoint_url"),
]


@pytest.mark.parametrize(("reply", "status", "name", "part"), REFUSALS, ids=lambda value: str(value)[:50])
def test_what_the_service_refuses(
    reply: APIReply, status: int, name: str, part: str, doctor: Doctor, ses_simulator: Start
) -> None:
    """A wrong signature, a wrong time, another kind of server: each is told apart."""
    said = doctor(ses_simulator(14, faults=[Fault("account", reply=reply, times=None)]).ses_url)
    assert (said.status, said.words(name)[0]) == (status, "wrong")
    assert part in said.words(name)[1]


def test_a_service_that_repeats_the_session_token(
    doctor: Doctor, ses_simulator: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The canonical request in a refusal of the signature holds it; the fixture looks for it."""
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
    reply = APIReply(403, "SignatureDoesNotMatch", f"x-amz-security-token:{TOKEN}")
    said = doctor(ses_simulator(14, faults=[Fault("account", reply=reply)]).ses_url)
    assert "x-amz-security-token:***" in said.words("credentials")[1]


def test_a_quota_that_is_used_up(doctor: Doctor, ses_simulator: Start) -> None:
    """Nothing can be sent now, which may change: 75."""
    said = doctor(ses_simulator(1, max_24_hour_send=200, sent_last_24_hours=200).ses_url)
    assert (said.status, said.words("quota")[0]) == (75, "wrong")
    assert "0 of 200" in said.words("quota")[1]


def test_no_answer_of_the_api(doctor: Doctor, ses_simulator: Start) -> None:
    """A connection that is reset under the request."""
    said = doctor(ses_simulator(14, faults=[Fault("account", end="reset", times=None)]).ses_url)
    assert (said.status, said.words("answer")[0]) == (75, "wrong")


def test_no_credentials(doctor: Doctor, ses_simulator: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """The three ways to give them are named; the service is not asked."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    simulator = ses_simulator(14)
    said = doctor(simulator.ses_url)
    assert (said.status, said.words("credentials")[0]) == (2, "wrong")
    assert "AWS_ACCESS_KEY_ID" in said.words("credentials")[1]
    assert simulator.counts.api_requests == 0


AWS_CONFIGURATION = """
[profile no-program]
credential_process = /no/such/program
[profile expired]
credential_process = echo '{"Version":1,"AccessKeyId":"A","SecretAccessKey":"B","Expiration":"2001-01-01T00:00:00Z"}'
[profile sso]
sso_session = s
sso_account_id = 123456789012
sso_role_name = r
[sso-session s]
sso_start_url = https://localhost/start
sso_region = eu-west-1
[profile web]
web_identity_token_file = /no/such/token
role_arn = arn:aws:iam::123456789012:role/r
[profile mfa]
role_arn = arn:aws:iam::123456789012:role/r
source_profile = base
mfa_serial = arn:aws:iam::123456789012:mfa/u
[profile base]
aws_access_key_id = AKIAIOSFODNN7EXAMPLE
aws_secret_access_key = x
"""


@pytest.mark.parametrize(
    ("profile", "part"),
    [
        ("no-program", "/no/such/program"),
        ("expired", "expired"),
        ("sso", "SSO"),
        ("web", "/no/such/token"),
        ("mfa", "MFA"),
    ],
)
def test_an_aws_configuration_that_gives_no_credentials(
    profile: str, part: str, doctor: Doctor, ses_simulator: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Status 2 and one sentence for whatever botocore raises, and no traceback of its own before it."""
    (tmp_path / "config").write_text(AWS_CONFIGURATION)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_PROFILE", profile)
    said = doctor(ses_simulator().ses_url)
    (sentence,) = (line for line in said.out.splitlines() if line.startswith("wrong"))
    assert (said.status, said.err) == (Status.WRONG_USAGE, "")
    assert part in sentence


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN"])
def test_credentials_with_a_line_end(
    name: str, doctor: Doctor, ses_simulator: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Copied with a newline, they can go into no header: said before anything is asked."""
    monkeypatch.setenv(name, "ASIAEXAMPLE\n")
    said = doctor(ses_simulator().ses_url)
    assert said.status == Status.WRONG_USAGE
    assert "copy it anew, without line ends" in said.out


def test_half_of_the_credentials(doctor: Doctor, ses_simulator: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other half is named."""
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    said = doctor(ses_simulator(14).ses_url)
    assert (said.status, said.words("aws")[0]) == (2, "wrong")
    assert "AWS_SECRET_ACCESS_KEY" in said.words("aws")[1]


def test_temporary_credentials_without_their_token(
    doctor: Doctor, ses_simulator: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key's first letters give them away."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ASIAIOSFODNN7EXAMPLE")
    said = doctor(ses_simulator(14).ses_url)
    assert (said.status, said.words("credentials")) == (
        2,
        ("wrong", "temporary credentials (ASIA…) without their session token: set AWS_SESSION_TOKEN too"),
    )


@pytest.mark.parametrize(("url", "name", "part"), [
    ("ses://", "aws", "AWS_DEFAULT_REGION"),
    ("ses://us-east-1?profile=elsewhere", "aws", "no AWS profile 'elsewhere'"),
])  # fmt: skip
def test_no_region_and_no_profile(url: str, name: str, part: str, doctor: Doctor) -> None:
    """What the AWS chain cannot find is named."""
    said = doctor(url)
    assert (said.status, said.words(name)[0]) == (2, "wrong")
    assert part in said.words(name)[1]


@pytest.mark.parametrize("url", ["ses://eu-wset-1", f"smtp://{LOGIN}email-smtp.eu-wset-1.amazonaws.com"])
def test_a_mistyped_region(url: str, doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its endpoint does not resolve; the region is the reason, and a second time will not help."""
    monkeypatch.setattr(socket, "getaddrinfo", _no_such_name)
    said = doctor(url)
    assert (said.status, said.words("region")[0], said.words("endpoint")[0]) == (2, "warning", "wrong")
    assert "check the region" in said.words("endpoint")[1]


@pytest.mark.parametrize("url", ["ses://eu-west-1", f"smtp://{LOGIN}email-smtp.eu-west-1.amazonaws.com"])
def test_no_name_server(url: str, doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A right name that does not resolve now may do so later."""
    monkeypatch.setattr(socket, "getaddrinfo", _no_such_name)
    said = doctor(url)
    assert (said.status, said.words("endpoint")[0]) == (75, "wrong")


def _no_such_name(*args: Any, **options: Any) -> Any:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


@pytest.mark.parametrize("url", ["ses://us-east-1?endpoint_url=http://127.0.0.1:{}", f"smtp://{LOGIN}127.0.0.1:{{}}"])
def test_nobody_listens(url: str, doctor: Doctor) -> None:
    """The place, the system's reason, and what may be in the way."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        said = doctor(url.format(taken.getsockname()[1]))
    assert (said.status, said.words("endpoint")[0]) == (75, "wrong")
    assert "Connection refused" in said.words("endpoint")[1]
    assert "firewall" in said.words("endpoint")[1]


@pytest.mark.parametrize("scheme", ["http://", ""])
def test_a_proxy(scheme: str, doctor: Doctor, ses_simulator: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named without its password, and the endpoint is not connected to past it."""
    simulator = ses_simulator(14)
    monkeypatch.setenv("HTTP_PROXY", f"{scheme}me:{PROXY_PASSWORD}@127.0.0.1:{simulator.api_port}")
    said = doctor("ses://us-east-1?endpoint_url=http://localhost:1")
    assert f"through the proxy 127.0.0.1:{simulator.api_port}" in said.words("endpoint")[1]
    assert said.status == 0


def test_a_proxy_that_is_not_there(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client names it in its error; the fixture looks for its password."""
    monkeypatch.setenv("HTTP_PROXY", f"http://me:{PROXY_PASSWORD}@127.0.0.1:1")
    said = doctor("ses://us-east-1?endpoint_url=http://localhost:1")
    assert (said.status, said.words("answer")[0]) == (75, "wrong")


# Two servers that say what they are told


@attrs.define(eq=False)
class Served:
    """A server in a thread that answers on each connection; bytes are written, None is a start of TLS, then words."""

    talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]
    tls: ssl.SSLContext | None = None
    port: int = 0

    @contextlib.contextmanager
    def running(self) -> Iterator[Served]:
        """Serve, on a port that is then known."""
        ready = threading.Event()
        stop: list[Callable[[], object]] = []

        async def serve() -> None:
            ended = asyncio.Event()
            stop.append(partial(asyncio.get_running_loop().call_soon_threadsafe, ended.set))
            server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.tls)
            self.port = server.sockets[0].getsockname()[1]
            ready.set()
            await ended.wait()
            server.close()
            await asyncio.sleep(0.01)  # whoever was just let in begins, so that it can clean up
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            await asyncio.sleep(0.01)

        thread = threading.Thread(target=lambda: asyncio.run(serve()))
        thread.start()
        ready.wait(5)
        try:
            yield self
        finally:
            stop[0]()
            thread.join()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError, asyncio.CancelledError):
            await self.talk(reader, writer)
        writer.transport.abort()
        await asyncio.sleep(0)  # the transport closes its socket in the loop's next turn


def smtp_talk(script: dict[str, str], context: ssl.SSLContext | None = None, heard: list[str] | None = None) -> Any:
    """An SMTP server whose replies can be replaced, by the command's first word; "" greets."""
    ordinary = {
        "": "220 email-smtp.amazonaws.com ESMTP SimpleEmailService-1",
        "EHLO": "250-email-smtp.amazonaws.com\r\n250-SIZE 10485760\r\n"
        + ("250-STARTTLS\r\n" if context else "")
        + "250 AUTH PLAIN LOGIN",
        "STARTTLS": "220 Ready to start TLS",
        "AUTH": "235 Authentication successful.",
        "QUIT": "221 Bye",
    }

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def say(word: str, line: str) -> str:
            reply = script.get(word, ordinary.get(word, "500 What?")).replace("ECHO", line.rpartition(" ")[2])
            if reply:
                writer.write(reply.encode() + b"\r\n")
            return reply

        if not say("", "") and "" in script:
            await asyncio.Event().wait()
        while line := (await reader.readline()).decode("latin-1").strip():
            if heard is not None:
                heard.append(line)
            word = line.partition(" ")[0].upper()
            reply = say(word, line)
            await writer.drain()
            if word == "STARTTLS" and reply.startswith("220") and context:
                await writer.start_tls(context)
            if reply.startswith("421") or not reply:
                return

    return talk


def http_talk(head: str, body: str = "{}") -> Any:
    """An HTTP server with one answer."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"{head}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode())
        await writer.drain()

    return talk


ACCOUNT = {
    "SendQuota": {"Max24HourSend": 50000.0, "MaxSendRate": 14.0, "SentLast24Hours": 0.0},
    "SendingEnabled": True,
    "ProductionAccessEnabled": True,
    "EnforcementStatus": "HEALTHY",
}


@pytest.mark.parametrize(("behind", "state", "status"), [(-90, "warning", 0), (400, "wrong", 2), (-7200, "wrong", 2)])
def test_a_clock_that_is_off(behind: int, state: str, status: int, doctor: Doctor) -> None:
    """Told by the answer's Date: a warning from 60 s, wrong from 5 min, where signatures are refused."""
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=behind), usegmt=True)
    head = f"HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Type: application/json"
    with Served(http_talk(head, json.dumps(ACCOUNT))).running() as server:
        said = doctor(f"ses://us-east-1?endpoint_url=http://127.0.0.1:{server.port}")
    assert (said.status, said.words("clock")[0]) == (status, state)
    assert ("behind" if behind > 0 else "ahead of") in said.words("clock")[1]
    assert "time synchronisation" in said.words("clock")[1]


def test_a_signature_that_is_refused_for_the_clock(doctor: Doctor) -> None:
    """The clock is what is wrong; of the credentials nothing is known."""
    head = (
        "HTTP/1.1 403 Forbidden\r\nDate: Tue, 24 Nov 2020 10:00:00 GMT\r\nx-amzn-ErrorType: InvalidSignatureException"
    )
    body = json.dumps({"message": "Signature not yet current: 20261124T100000Z is still later than 20201124T100500Z"})
    with Served(http_talk(head, body)).running() as server:
        said = doctor(f"ses://us-east-1?endpoint_url=http://127.0.0.1:{server.port}")
    assert (said.status, said.words("clock")[0], "credentials" in said.states) == (2, "wrong", False)
    assert "credentials, which were refused for the clock" in said.out


def test_an_answer_without_a_date(doctor: Doctor) -> None:
    """The clock is then named among what was not checked."""
    with Served(
        http_talk("HTTP/1.1 200 OK\r\nContent-Type: application/json", json.dumps(ACCOUNT))
    ).running() as server:
        said = doctor(f"ses://us-east-1?endpoint_url=http://127.0.0.1:{server.port}")
    assert said.status == 0
    assert "clock: the answer has no date" in said.out


# TLS, on both doors


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """A certificate authority of our own."""
    return trustme.CA()


@pytest.fixture
def trusted(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both doors trust it."""
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "ca.pem"))


def context_for(authority: trustme.CA, name: str = "127.0.0.1", **options: Any) -> ssl.SSLContext:
    """A server's TLS with a certificate for that name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name, **options).configure_cert(context)
    return context


@contextlib.contextmanager
def door(scheme: str, context: ssl.SSLContext) -> Iterator[str]:
    """A server with this TLS, by its URL."""
    head = (
        f"HTTP/1.1 200 OK\r\nDate: {format_datetime(datetime.now(UTC), usegmt=True)}\r\nContent-Type: application/json"
    )
    if scheme == "ses":
        server = Served(http_talk(head, json.dumps(ACCOUNT)), context)
    else:
        implicit = context if scheme == "smtps" else None
        server = Served(smtp_talk({}, None if implicit else context), implicit)
    with server.running():
        place = f"127.0.0.1:{server.port}"
        yield f"ses://us-east-1?endpoint_url=https://{place}" if scheme == "ses" else f"{scheme}://{LOGIN}{place}"


DOORS = ["ses", "smtp", "smtps"]


@pytest.mark.parametrize("scheme", DOORS)
@pytest.mark.usefixtures("trusted")
def test_tls_that_is_well(scheme: str, authority: trustme.CA, doctor: Doctor) -> None:
    """Its version and the end of the certificate are told."""
    with door(scheme, context_for(authority)) as url:
        said = doctor(url)
    assert (said.status, said.words("tls")[0]) == (0, "ok")
    assert said.words("tls")[1].startswith("TLSv1.3, the certificate verifies (valid until ")


@pytest.mark.parametrize("scheme", DOORS)
def test_a_certificate_from_elsewhere(scheme: str, authority: trustme.CA, doctor: Doctor) -> None:
    """The file to add the authority to is named; nobody logs in."""
    with door(scheme, context_for(authority)) as url:
        said = doctor(url)
    assert (said.status, said.words("tls")[0]) == (2, "wrong")
    assert ("AWS_CA_BUNDLE" if scheme == "ses" else "SSL_CERT_FILE") in said.words("tls")[1]
    assert not {"login", "credentials"} & said.states.keys()


@pytest.mark.parametrize("scheme", DOORS)
@pytest.mark.usefixtures("trusted")
def test_a_certificate_of_another_host(scheme: str, authority: trustme.CA, doctor: Doctor) -> None:
    """The name is what has to be checked."""
    with door(scheme, context_for(authority, "example.org")) as url:
        said = doctor(url)
    assert (said.status, said.words("tls")[0]) == (2, "wrong")
    assert "for another host" in said.words("tls")[1]


@pytest.mark.parametrize("scheme", DOORS)
@pytest.mark.usefixtures("trusted")
def test_an_expired_certificate(scheme: str, authority: trustme.CA, doctor: Doctor) -> None:
    """Or our clock is wrong."""
    with door(scheme, context_for(authority, not_after=datetime.now(UTC) - timedelta(days=1))) as url:
        said = doctor(url)
    assert (said.status, said.words("tls")[0]) == (2, "wrong")
    assert "has expired, or this machine's clock is wrong" in said.words("tls")[1]


@pytest.mark.parametrize("url", ["ses://us-east-1?endpoint_url=https://127.0.0.1:{}", f"smtps://{LOGIN}127.0.0.1:{{}}"])
def test_tls_that_is_too_old(url: str, doctor: Doctor) -> None:
    """The server's alert says so: fatal, protocol version (RFC 5246, 7.2)."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(bytes([21, 3, 1, 0, 2, 2, 70]))
        await reader.read()

    with Served(talk).running() as server:
        said = doctor(url.format(server.port))
    assert (said.status, said.words("tls")[0]) == (2, "wrong")
    assert "no TLS 1.2 or newer" in said.words("tls")[1]


def test_a_handshake_that_is_broken_off(doctor: Doctor) -> None:
    """Try again."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)

    with Served(talk).running() as server:
        said = doctor(f"smtps://{LOGIN}127.0.0.1:{server.port}")
    assert (said.status, said.words("tls")[0]) == (75, "wrong")


def test_a_file_of_authorities_that_is_not_there(
    authority: trustme.CA, doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The setting is named."""
    monkeypatch.setenv("AWS_CA_BUNDLE", "/nowhere/ca.pem")
    with door("ses", context_for(authority)) as url:
        said = doctor(url)
    assert (said.status, said.words("tls")[0]) == (2, "wrong")
    assert "AWS_CA_BUNDLE" in said.words("tls")[1]


# SMTP


def test_an_smtp_door_that_is_well(doctor: Doctor, ses_simulator: Start) -> None:
    """Greeting, SIZE, methods and login are told; what SMTP does not tell is named with the way to it."""
    simulator = ses_simulator(14, smtp=SMTPRules(credentials=("smtpuser", PASSWORD)))
    said = doctor(simulator.smtp_url)
    names = ["url", "region", "port", "endpoint", "greeting", "tls", "offers", "login"]
    assert (said.status, said.states, said.err) == (0, dict.fromkeys(names, "ok"), "")
    assert said.words("offers")[1] == "messages of at most 40 MiB (SIZE); login by PLAIN, LOGIN"
    assert "ms: 220 email-smtp.amazonaws.com" in said.words("greeting")[1]
    assert "seslimit doctor --to ses://REGION" in said.out
    assert simulator.counts.accepted == 0


LOGINS = [
    (SMTPText.CREDENTIALS_INVALID, "smtpuser", PASSWORD, 2, "SMTP credentials are not IAM keys"),
    (SMTPText.CREDENTIALS_INVALID, "smtpuser", SECRET, 2, "looks like an AWS secret access key"),
    (SMTPText.CREDENTIALS_INVALID, "ASIAIOSFODNN7EXAMPLE", PASSWORD, 2, "temporary AWS credentials"),
    (SMTPText.NOT_SUBSCRIBED, "smtpuser", PASSWORD, 2, "not signed up for SES"),
    (SMTPText.TEMPORARY_AUTH_FAILURE, "smtpuser", PASSWORD, 75, "try again in a minute"),
]


@pytest.mark.parametrize(("reply", "user", "password", "status", "part"), LOGINS)
def test_a_login_that_is_refused(
    reply: str, user: str, password: str, status: int, part: str, doctor: Doctor, ses_simulator: Start
) -> None:
    """By the reply, and by the shape of what was given."""
    rules = SMTPRules(credentials=(user, password))
    said = doctor(ses_simulator(14, smtp=rules, faults=[Fault("auth", reply=reply, times=None)]).smtp_url)
    assert (said.status, said.words("login")[0]) == (status, "wrong")
    assert part in said.words("login")[1]
    assert reply.rstrip(".") in said.words("login")[1]


def test_a_service_that_repeats_the_login(doctor: Doctor) -> None:
    """The fixture looks for the password, plain and as it went over the wire."""
    with Served(smtp_talk({"AUTH": "535 I do not know ECHO"})).running() as server:
        said = doctor(f"smtp://{LOGIN}127.0.0.1:{server.port}?tls=none")
    assert "535 I do not know ***" in said.words("login")[1]


def test_no_login_given(doctor: Doctor, ses_simulator: Start) -> None:
    """SES takes nothing without one."""
    said = doctor(f"smtp://127.0.0.1:{ses_simulator(14).smtp_port}?tls=none")
    assert (said.status, said.words("login")[0]) == (2, "wrong")
    assert "SESLIMIT_SMTP_USER" in said.words("login")[1]


def test_no_login_for_a_server_that_is_not_ses(doctor: Doctor) -> None:
    """It may be meant so."""
    with Served(smtp_talk({"EHLO": "250 localhost"})).running() as server:
        said = doctor(f"smtp://127.0.0.1:{server.port}?tls=none")
    assert (said.status, said.words("login")[0], said.words("offers")[0]) == (0, "warning", "warning")
    assert "no SIZE" in said.words("offers")[1]


def test_a_login_that_is_not_offered(doctor: Doctor) -> None:
    """That does not pass with time, and it is not the password."""
    with Served(smtp_talk({"EHLO": "250 localhost"})).running() as server:
        said = doctor(f"smtp://{LOGIN}127.0.0.1:{server.port}?tls=none")
    assert (said.status, said.words("login")[0]) == (2, "wrong")
    assert "offers no login by password" in said.words("login")[1]
    assert "is it the SMTP endpoint of SES?" in said.words("login")[1]


def test_a_user_without_a_password(doctor: Doctor) -> None:
    """Both or neither."""
    said = doctor("smtp://smtpuser@127.0.0.1:587")
    assert (said.status, said.words("url")[0]) == (2, "wrong")
    assert "needs a password" in said.words("url")[1]


def test_stripped_starttls(doctor: Doctor) -> None:
    """No login is tried."""
    heard: list[str] = []
    with Served(smtp_talk({}, heard=heard)).running() as server:
        said = doctor(f"smtp://{LOGIN}127.0.0.1:{server.port}")
    assert (said.status, said.words("tls")[0]) == (2, "wrong")
    assert "offers no STARTTLS" in said.words("tls")[1]
    assert heard == ["EHLO [127.0.0.1]"]


SESSIONS = [
    ({"": "421 Too many concurrent SMTP connections"}, 75, "greeting", "max_connections"),
    ({"": "554 No service"}, 75, "greeting", "try again later"),
    ({"": "HTTP/1.1 400 Bad Request"}, 2, "greeting", "does not speak SMTP"),
    ({"": "x" * 100_000}, 2, "greeting", "does not speak SMTP"),
    ({"EHLO": "421 Service not available"}, 75, "session", "try again later"),
    ({"EHLO": "502 Command not implemented"}, 2, "session", "check host and port"),
    ({"EHLO": ""}, 75, "session", "broke off"),
]


@pytest.mark.parametrize(("script", "status", "name", "part"), SESSIONS, ids=lambda value: str(value)[:40])
def test_a_session_that_comes_to_nothing(
    script: dict[str, str], status: int, name: str, part: str, doctor: Doctor
) -> None:
    """Full, closed, another kind of server, gone."""
    with Served(smtp_talk(script)).running() as server:
        said = doctor(f"smtp://{LOGIN}127.0.0.1:{server.port}?tls=none")
    assert (said.status, said.words(name)[0]) == (status, "wrong")
    assert part in said.words(name)[1]
    assert "login" not in said.states


def test_a_refusal_of_the_greeting_is_not_taken_for_a_missing_starttls(doctor: Doctor) -> None:
    """Nothing is offered in a refusal."""
    with Served(smtp_talk({"EHLO": "421 Service not available"})).running() as server:
        said = doctor(f"smtp://{LOGIN}127.0.0.1:{server.port}")
    assert (said.status, said.words("session")[0], "tls" in said.states) == (75, "wrong", False)


def test_starttls_that_is_refused(authority: trustme.CA, doctor: Doctor) -> None:
    """The service's words are told."""
    with Served(smtp_talk({"STARTTLS": "454 TLS not available"}, context_for(authority))).running() as server:
        said = doctor(f"smtp://{LOGIN}127.0.0.1:{server.port}")
    assert (said.status, said.words("tls")[0]) == (75, "wrong")
    assert "454 TLS not available" in said.words("tls")[1]


def test_a_door_in_clear_taken_for_one_with_tls(doctor: Doctor) -> None:
    """The other scheme is named."""
    with Served(smtp_talk({})).running() as server:
        said = doctor(f"smtps://{LOGIN}127.0.0.1:{server.port}")
    assert (said.status, said.words("tls")[0]) == (2, "wrong")
    assert "write smtp://" in said.words("tls")[1]


async def test_a_door_that_says_nothing() -> None:
    """As one that waits for TLS does: after our patience the other scheme is named."""
    with Served(smtp_talk({"": ""})).running() as server:
        found = await diagnose(f"smtp://{LOGIN}127.0.0.1:{server.port}", lambda check: None, patience=0.2)
    assert (found.status, found.checks[-1].name) == (75, "greeting")
    assert "no answer in time" in found.checks[-1].words
    assert "write smtps://" in found.checks[-1].words


def test_a_slow_greeting(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every new connection pays for it; a greeting may have several lines."""
    monkeypatch.setattr("seslimit.cli.doctor._session.SLOW_GREETING", 0.0)
    with Served(smtp_talk({"": "220-Welcome\r\n220"})).running() as server:
        said = doctor(f"smtp://{LOGIN}127.0.0.1:{server.port}?tls=none")
    assert (said.status, said.words("greeting")[0]) == (0, "warning")
    assert "ms: 220 Welcome" in said.words("greeting")[1]


PORTS = [
    ("smtps://{login}127.0.0.1:587", "wrong", "write smtp://"),
    ("smtp://{login}email-smtp.eu-west-1.amazonaws.com:2525", "wrong", "does not listen on 2525"),
    ("smtp://{login}127.0.0.1:25", "warning", "587 or 2587, or smtps:// with 465 or 2465"),
]


@pytest.mark.parametrize(("url", "state", "part"), PORTS)
def test_ports(url: str, state: str, part: str, doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that does not go with the scheme is wrong, before anything is tried; 25 is a warning."""
    monkeypatch.setattr(socket, "getaddrinfo", _no_such_name)
    said = doctor(url.format(login=LOGIN))
    assert said.words("port")[0] == state
    assert part in said.words("port")[1]


# The URL, the simulator, plug-ins


@pytest.mark.parametrize(("url", "part"), [
    ("nothing", "no scheme"),
    ("carrier-pigeon://x", "unknown scheme"),
    ("ses://us-east-1?reigon=x", "unknown option 'reigon'"),
    (f"smtp://u:{PASSWORD}/x@host", "percent-encode"),
    (f"smtp://{LOGIN}example.org?tls=none", "this machine only"),
])  # fmt: skip
def test_a_wrong_url(url: str, part: str, doctor: Doctor) -> None:
    """One check, and nothing further."""
    said = doctor(url)
    assert (said.status, said.words("url")[0], list(said.states)) == (2, "wrong", ["url"])
    assert part in said.words("url")[1]


def test_an_extra_that_is_not_installed() -> None:
    """What to install is said."""
    script = (
        "import sys; sys.modules['aiohttp'] = None\n"
        "from seslimit.cli._commands import run\n"
        "sys.exit(run(['doctor', '--to', 'sim://']))"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (2, "")
    assert "pip install 'seslimit[sim]'" in ended.stdout


@pytest.mark.parametrize(
    ("url", "names"), [("sim://?door=api", ["url", "quota", "rate"]), ("sim://", ["url", "account"])]
)
def test_the_simulator(url: str, names: list[str], doctor: Doctor) -> None:
    """There is nothing to set up; what it tells is told."""
    said = doctor(url)
    assert (said.status, said.states) == (0, dict.fromkeys(names, "ok"))


PLUG_IN = """
from seslimit import ConfigurationError, Outcome, TransportError
from seslimit._model.quota import SendQuota

class Postbox:
    def __init__(self, url):
        if url.host == "nowhere":
            raise ConfigurationError("the postbox is nowhere.")
        self.host = url.host
    async def send(self, message): ...
    async def aclose(self): ...

class Telling(Postbox):
    async def quota(self):
        if self.host == "blocked":
            raise TransportError(Outcome.ACCOUNT_BLOCKED, "you are blocked")
        if self.host == "broken":
            raise ZeroDivisionError
        return SendQuota(100, 5, 95)
"""


@pytest.fixture
def plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution that registers transports of its own."""
    (tmp_path / "postbox_for_doctor.py").write_text(PLUG_IN)
    info = tmp_path / "postbox-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: postbox\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[seslimit.transports]\npostbox = postbox_for_doctor:Postbox\ntelling = postbox_for_doctor:Telling\n"
        "broken = postbox_that_is_not_there:Postbox\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("plug_in")
@pytest.mark.parametrize(("url", "status", "name", "state", "part"), [
    ("postbox://here", 0, "url", "ok", "well formed"),
    ("postbox://nowhere", 2, "url", "wrong", "the postbox is nowhere"),
    ("broken://here", 2, "url", "wrong", "cannot be imported"),
    ("telling://here", 0, "quota", "warning", "5 of 100"),
    ("telling://blocked", 3, "account", "wrong", "you are blocked"),
    ("telling://broken", 75, "account", "wrong", "ZeroDivisionError"),
])  # fmt: skip
def test_a_plug_in(url: str, status: int, name: str, state: str, part: str, doctor: Doctor) -> None:
    """What can be asked is asked, and what cannot is said."""
    said = doctor(url)
    assert (said.status, said.words(name)[0]) == (status, state)
    assert part in said.words(name)[1]
    assert ("Not checked" in said.out) is (url == "postbox://here")


# What is printed


def test_json(doctor: Doctor, ses_simulator: Start) -> None:
    """The last line of standard output, and the only one, is an object; the lines for people are on standard error."""
    said = doctor(ses_simulator(14, api=APIRules(sending_enabled=False)).ses_url, "--json")
    figures = json.loads(said.out)
    assert (said.status, figures["ok"], len(said.out.splitlines())) == (3, False, 1)
    assert {"name", "state", "words"} == set(figures["checks"][0])
    assert [check["name"] for check in figures["checks"] if check["state"] == "wrong"] == ["sending"]
    assert "wrong    sending      paused" in said.err


def test_the_first_that_is_wrong_decides_the_status() -> None:
    """The rest may rest on it."""
    found = Diagnosis(lambda check: None)
    found.warn("a", "a")
    found.wrong("b", "b", Status.ACCOUNT_BLOCKED)
    found.wrong("c", "c", Status.WRONG_USAGE)
    assert found.status is Status.ACCOUNT_BLOCKED


@pytest.mark.parametrize(
    ("skew", "state"), [(0, "ok"), (59, "ok"), (-60, "warning"), (299, "warning"), (-300, "wrong")]
)
def test_how_far_a_clock_may_be_off(skew: float, state: str) -> None:
    """A minute; five minutes."""
    assert clock_check(skew).state == state


@pytest.mark.parametrize(
    ("most", "sent", "state"), [(-1, 10, "ok"), (100, 90, "ok"), (100, 91, "warning"), (100, 120, "wrong")]
)
def test_what_is_left_of_a_quota(most: float, sent: float, state: str) -> None:
    """A tenth is little, nothing is wrong, and no limit is no limit."""
    checks: dict[str, Check] = {check.name: check for check in account_checks({}, SendQuota(most, 14, sent))}
    assert checks["quota"].state == state


def test_a_refusal_that_nobody_knows() -> None:
    """It is not SES that speaks so."""
    assert (refusal_of("429", 429).name, refusal_of("429", 429).state) == ("account", State.WARNING)
    assert (refusal_of("Teapot", 418).name, refusal_of("Teapot", 500).status) == ("answer", Status.REMAINING)
