"""
Broken AWS set-ups, as public bug reports have them: each ends `send` and `doctor` at once, in one sentence.

What is right according to the exit statuses in docs/cli.md: wrong usage or configuration is 2, and nothing was sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from seslimit import AccountBlocked, ConfigurationError, Limiter, Message, Sender, transport_from_url
from seslimit.cli._commands import run
from seslimit.companion.listmonk import ListmonkMessenger, ListmonkOptions
from seslimit.companion.relay import Relay, RelayOptions
from seslimit.testing import APIReply, APIRules, Fault, Simulator
from seslimit.transports.ses import SESTransport
from tests.command_line import written_list

pytestmark = pytest.mark.once

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
TOKEN = "FwoGZXIvYXdzEXAMPLETOKEN"
KEY = {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": SECRET}
EXPIRED = {
    "Version": 1,
    "AccessKeyId": "ASIAIOSFODNN7EXAMPLE",
    "SecretAccessKey": SECRET,
    "SessionToken": TOKEN,
    "Expiration": "2020-01-01T00:00:00Z",
}
AT_ONCE = 10.0
"""Seconds."""


@attrs.frozen
class SetUp:
    """
    A set-up that cannot work.

    Args:
        config: what ~/.aws/config holds; `{folder}` is where `expired.json` lies.
        environment: variables of AWS's.
        words: part of the sentence.
        refuses: what the service says to it; None where it is never asked.
        url: of the transport, where it is not a simulator's.
    """

    words: str
    config: str = ""
    environment: dict[str, str] = attrs.field(factory=dict)
    refuses: APIReply | None = None
    url: str | None = None


SET_UPS = {
    "credential_process is missing": SetUp("set-up", "[default]\ncredential_process = /nowhere/helper"),
    "credential_process is expired": SetUp(
        "still expired", "[default]\ncredential_process = cat {folder}/expired.json"
    ),
    "credential_process says no JSON": SetUp("set-up", "[default]\ncredential_process = echo hello"),
    "credential_process fails": SetUp("custom-process", "[default]\ncredential_process = false"),
    "SSO without a token": SetUp(
        "SSO",
        "[default]\nsso_start_url = https://example.org/start\nsso_region = us-east-1\n"
        "sso_account_id = 123456789012\nsso_role_name = mail",
    ),
    "SSO session without a token": SetUp(
        "SSO",
        "[default]\nsso_session = me\nsso_account_id = 123456789012\nsso_role_name = mail\n"
        "[sso-session me]\nsso_start_url = https://example.org/start\nsso_region = us-east-1",
    ),
    "MFA": SetUp(
        "MFA code",
        "[default]\nrole_arn = arn:aws:iam::123456789012:role/mail\nsource_profile = keys\n"
        "mfa_serial = arn:aws:iam::123456789012:mfa/me\n"
        f"[profile keys]\naws_access_key_id = AKIA\naws_secret_access_key = {SECRET}",
    ),
    "web identity without its file": SetUp(
        "/nowhere/token",
        environment={
            "AWS_WEB_IDENTITY_TOKEN_FILE": "/nowhere/token",
            "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/mail",
        },
    ),
    "no credentials, IMDS off": SetUp("AWS_ACCESS_KEY_ID"),
    "half of the credentials": SetUp("AWS_SECRET_ACCESS_KEY", environment={"AWS_ACCESS_KEY_ID": "AKIA"}),
    "profile that is not there": SetUp("'nobody'", environment={**KEY, "AWS_PROFILE": "nobody"}),
    "source_profile that is not there": SetUp(
        "nobody", "[default]\nrole_arn = arn:aws:iam::123456789012:role/mail\nsource_profile = nobody"
    ),
    "config file that is none": SetUp("config", "credential_process\n= x", KEY),
    "newline in the access key": SetUp("access key id", environment={**KEY, "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7\n"}),
    "newline in the secret": SetUp("secret access key", environment={**KEY, "AWS_SECRET_ACCESS_KEY": SECRET + "\n"}),
    "newline in the token": SetUp("session token", environment={**KEY, "AWS_SESSION_TOKEN": TOKEN + "\r\n"}),
    "region that is none": SetUp("no SES in the region eu-wst-1", environment=KEY, url="ses://eu-wst-1"),
    "region of an SMTP host that is none": SetUp(
        "eu-wst-1",
        url="smtp://user:password@email-smtp.eu-wst-1.amazonaws.com:587",
    ),
    "no region": SetUp("AWS_DEFAULT_REGION", environment=KEY, url="ses://"),
    "authorities that are not there": SetUp(
        "AWS_CA_BUNDLE",
        environment={**KEY, "AWS_CA_BUNDLE": "/nowhere"},
        url="ses://us-east-1?endpoint_url=https://127.0.0.1:{port}",
    ),
    "expired token": SetUp(
        "expired", environment=KEY, refuses=APIReply(403, "ExpiredTokenException", "Token has expired")
    ),
    "clock that is off": SetUp(
        "Signature expired",
        environment=KEY,
        refuses=APIReply(403, "InvalidSignatureException", "Signature expired: 20260101T000000Z"),
    ),
}  # fmt: skip


@pytest.fixture(params=list(SET_UPS.values()), ids=list(SET_UPS))
def set_up(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SetUp:
    """A set-up, in force."""
    chosen: SetUp = request.param
    (tmp_path / "expired.json").write_text(json.dumps(EXPIRED))
    (tmp_path / "config").write_text(chosen.config.format(folder=tmp_path))
    names = ("PROFILE", "REGION", "DEFAULT_REGION", "SESSION_TOKEN", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "CA_BUNDLE")
    for name in names:
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name, value in chosen.environment.items():
        monkeypatch.setenv(name, value)
    if chosen.url is not None and "eu-wst-1" in chosen.url:
        monkeypatch.setattr(socket, "getaddrinfo", no_such_name)
    return chosen


def no_such_name(*args: Any, **options: Any) -> Any:
    """No host has this name."""
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def url_of(set_up: SetUp, start: Callable[..., Simulator]) -> str:
    """The URL of a transport with this set-up."""
    if set_up.url is not None:
        return set_up.url.format(port=start(1000).api_port)
    refuse = set_up.refuses
    faults = [] if refuse is None else [Fault(stage, reply=refuse, times=None) for stage in ("send", "account")]
    return start(1000, faults=faults, api=APIRules(get_account_rate=1000)).ses_url


@pytest.mark.parametrize("command", ["send", "doctor"])
def test_a_broken_set_up_is_one_sentence(
    command: str, set_up: SetUp, tmp_path: Path, ses_simulator: Callable[..., Simulator], capsys: Any
) -> None:
    """Status 2 within ten seconds, one sentence that names what is wrong, no secret and no traceback."""
    arguments = [str(written_list(tmp_path, 20))] if command == "send" else []
    url = url_of(set_up, ses_simulator)
    begin = time.monotonic()
    assert run([command, *arguments, "--to", url]) == 2
    assert time.monotonic() - begin < AT_ONCE
    printed = capsys.readouterr()
    said = printed.err if command == "send" else printed.out
    assert set_up.words in said
    for hidden in ("Traceback", SECRET, TOKEN):
        assert hidden not in printed.out + printed.err
    if command == "send":
        assert len(said.splitlines()) == 1
        assert "None" not in said
        assert set_up.refuses is not None or "refused the login" not in said
    else:
        assert sum(line.startswith("wrong") for line in said.splitlines()) == 1


@pytest.mark.parametrize("command", ["relay", "listmonk"])
async def test_a_companion_says_it_when_it_starts(
    command: str, set_up: SetUp, ses_simulator: Callable[..., Simulator], caplog: pytest.LogCaptureFixture
) -> None:
    """
    In one warning, before any message is at stake; a server goes on, since what is wrong may be put right.

    Over SMTP there is no question to ask, but whether the endpoint's name is known.
    """
    url = url_of(set_up, ses_simulator)
    server = await started(command, url)
    said: list[str] = []
    try:
        async with asyncio.timeout(AT_ONCE):
            while not said:
                await asyncio.sleep(0.01)
                said = [each.getMessage() for each in caplog.records if each.name.startswith("seslimit")]
    finally:
        await server.aclose()
    assert len(said) == 1
    for line in said:
        assert set_up.words in line
        for hidden in ("Traceback", SECRET, TOKEN):
            assert hidden not in line


async def started(command: str, url: str) -> Relay | ListmonkMessenger:
    """A companion in front of this service, on a socket that takes no look-up of names."""
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)
    server: Relay | ListmonkMessenger
    if command == "relay":
        server = Relay(transport_from_url(url), RelayOptions(listen="127.0.0.1:0"))
    else:
        options = ListmonkOptions(listen="127.0.0.1:0", root_url="https://lists.example.net")
        server = ListmonkMessenger(transport_from_url(url), options)
    await server.open([listening])
    return server


def test_no_traceback_of_others(tmp_path: Path, ses_simulator: Callable[..., Simulator]) -> None:
    """What the SDK logs of a failed renewal, with its traceback, is not printed where nobody set up any logging."""
    (tmp_path / "expired.json").write_text(json.dumps(EXPIRED))
    (tmp_path / "config").write_text(f"[default]\ncredential_process = cat {tmp_path}/expired.json")
    environment = {
        "PATH": "/usr/bin:/bin",
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    command = [
        sys.executable,
        "-m",
        "seslimit",
        "send",
        str(written_list(tmp_path, 3)),
        "--to",
        ses_simulator(1000).ses_url,
    ]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1), ended.stderr


async def test_one_attempt_stops_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that embeds the sender gets `AccountBlocked` with everything unsent, and the sentence as its cause."""
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "PROFILE"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    messages = [Message("a@example.org", ["b@example.com"], b"Subject: x\r\n\r\n", number) for number in range(50)]
    transport = SESTransport("us-east-1", endpoint_url="http://127.0.0.1:9")
    async with Sender(transport, limiter=Limiter(1000)) as sender:
        with pytest.raises(AccountBlocked) as caught:
            [report async for report in sender.send_many(messages)]
    assert isinstance(caught.value.__cause__, ConfigurationError)
    assert len(caught.value.unsent) > 0


async def test_credentials_are_renewed_once_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials that a program gives are asked for again when they are about to end, and by one for all."""
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    script = tmp_path / "helper.sh"
    given = json.dumps({**EXPIRED, "Expiration": soon})
    script.write_text(f"#!/bin/sh\necho asked >> {tmp_path}/asked\ncat <<'X'\n{given}\nX\n")
    script.chmod(0o755)
    (tmp_path / "config").write_text(f"[default]\ncredential_process = {script}")
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "PROFILE", "SESSION_TOKEN"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    message = Message("a@example.org", ["b@example.com"], b"Subject: x\r\n\r\n")
    async with Simulator(1000) as simulator:
        transport = SESTransport("us-east-1", endpoint_url=simulator.api_url)
        async with contextlib.aclosing(transport):
            await asyncio.gather(*(transport.send(message) for _ in range(20)))
    assert (tmp_path / "asked").read_text().splitlines() == ["asked"]
