"""
A secret that is planted somewhere shows nowhere: not in output, logs, reports, replies to clients or the process list.

Each command runs as a process of its own against a service that repeats, in the words of its refusals, whatever it was
given: as it came, decoded, and in the middle of a sentence. What is looked for is every form in which a secret travels.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import re
import signal
import smtplib
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import quote

import aiohttp
import pytest

from .companion_process import companion

pytestmark = pytest.mark.once

PASSWORD = "pl4nted+Secret/of=smtp"
AWS_SECRET = "pl4nted+aws/SECRET+access+key000000000000"
TOKEN = "pl4nted/session+token==" + "t" * 40
OWN = "pl4nted-own-Login"
"""The password of the companion's clients."""
CONTENT = "pl4nted-words-of-a-private-letter"
USER = "AKIAPLANTED0000000"

AWS = {
    "AWS_ACCESS_KEY_ID": USER,
    "AWS_SECRET_ACCESS_KEY": AWS_SECRET,
    "AWS_SESSION_TOKEN": TOKEN,
    "AWS_EC2_METADATA_DISABLED": "true",
}


def forms(secret: str) -> Iterator[str]:
    """A secret as it is written in URLs, logins, headers and logs."""
    raw = secret.encode()
    yield from (secret, quote(secret, safe=""), repr(secret)[1:-1], json.dumps(secret)[1:-1])
    yield base64.b64encode(raw).decode()
    for login in (f"\0{USER}\0{secret}", f"{USER}:{secret}"):
        yield base64.b64encode(login.encode()).decode()


def found(text: str, *secrets: str) -> list[str]:
    """Which secrets a text holds, in whatever form."""
    return [secret for secret in secrets if any(form in text for form in forms(secret))]


@contextlib.asynccontextmanager
async def echoing_smtp(refused: str, code: int) -> AsyncIterator[int]:
    """A server that refuses at one command and repeats all that it was told so far."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard: list[str] = []
        with contextlib.suppress(OSError, EOFError):
            writer.write(b"220 echo.example.org ESMTP\r\n")
            while line := (await reader.readline()).decode("latin-1").strip():
                verb = re.split("[: ]", line)[0].upper()
                heard.append(line)
                if verb == "AUTH":
                    with contextlib.suppress(ValueError):
                        heard.append(base64.b64decode(line.split()[-1]).decode("latin-1").replace("\0", " "))
                if verb == refused:
                    writer.write(f"{code} 5.7.8 you said <{' '.join(heard)[-440:]}>, bad\r\n".encode("latin-1"))
                elif verb == "EHLO":
                    writer.write(b"250-echo.example.org\r\n250-8BITMIME\r\n250 AUTH PLAIN LOGIN\r\n")
                else:
                    writer.write({"AUTH": b"235 Ok\r\n", "QUIT": b"221 Bye\r\n"}.get(verb, b"250 Ok\r\n"))
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@contextlib.asynccontextmanager
async def echoing_api(status: int, error: str) -> AsyncIterator[int]:
    """A server that refuses every request and repeats its head."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = sum(map(int, re.findall(rb"(?i)content-length: (\d+)", head)))
            await reader.readexactly(length)
            told = re.findall(r"(?im)^(?:authorization|x-amz-security-token): .*$", head.decode("latin-1"))
            body = json.dumps({"message": " ".join(told)[:900]}).encode()
            fields = f"Content-Length: {len(body)}\r\nx-amzn-ErrorType: {error}\r\nConnection: close\r\n\r\n"
            writer.write(f"HTTP/1.1 {status} No\r\nContent-Type: application/json\r\n{fields}".encode() + body)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=2**20)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def listed(pid: int) -> str:
    """What the list of processes shows of one; nothing where there is no such list."""
    path = Path(f"/proc/{pid}/cmdline")
    return path.read_text("utf-8", "replace") if path.exists() else ""


def end(process: asyncio.subprocess.Process) -> None:
    """Tell a process to end, if it is still there."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)


async def command(*arguments: str, **environment: str) -> str:
    """Run a command to its end: all that it says, and what others see of it in the list of processes."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-X", "dev", "-m", "seslimit", *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=os.environ | environment,
    )
    seen = listed(process.pid)
    # What is ridden out, as a login that is refused for now, would go on for a quarter of an hour.
    asyncio.get_running_loop().call_later(8.0, end, process)
    async with asyncio.timeout(120):
        out, _ = await process.communicate()
    return seen + out.decode("utf-8", "replace")


def letter(folder: Path) -> Path:
    """A list with one message."""
    path = folder / "list.jsonl"
    record = {"from": "a@example.org", "to": ["b@example.net"], "subject": "Hello", "text": CONTENT, "key": "k"}
    path.write_text(json.dumps(record) + "\n")
    return path


@pytest.mark.parametrize("doctor", [False, True], ids=["send", "doctor"])
@pytest.mark.parametrize(
    ("refused", "code"), [("AUTH", 535), ("AUTH", 454), ("MAIL", 554), ("RCPT", 554), ("DATA", 554)]
)
async def test_a_server_that_repeats_the_login_shows_it_to_nobody(
    tmp_path: Path, refused: str, code: int, doctor: bool
) -> None:
    """Whatever a reply holds of what was sent as a secret is gone from output, log and report."""
    report = tmp_path / "report.jsonl"
    async with echoing_smtp(refused, code) as port:
        to = f"smtp://127.0.0.1:{port}?tls=none"
        secrets = {"SESLIMIT_SMTP_USER": USER, "SESLIMIT_SMTP_PASSWORD": PASSWORD}
        asked = ["doctor"] if doctor else ["send", str(letter(tmp_path)), "--report", str(report), "--json"]
        said = await command(*asked, "--to", to, **secrets)
    written = report.read_text() if report.exists() else ""
    assert said
    assert found(said + written, PASSWORD, CONTENT) == []


@pytest.mark.parametrize("doctor", [False, True], ids=["send", "doctor"])
@pytest.mark.parametrize(
    ("status", "error"),
    [(403, "InvalidSignatureException"), (403, "AccessDeniedException"), (400, "MessageRejected"), (404, "")],
)
async def test_an_api_that_repeats_the_request_shows_no_credential(
    tmp_path: Path, status: int, error: str, doctor: bool
) -> None:
    """The session token is a secret and travels in a header; the secret key never travels at all."""
    report = tmp_path / "report.jsonl"
    async with echoing_api(status, error) as port:
        to = f"ses://us-east-1?endpoint_url=http://127.0.0.1:{port}"
        asked = ["doctor"] if doctor else ["send", str(letter(tmp_path)), "--report", str(report), "--json"]
        said = await command(*asked, "--to", to, **AWS)
    written = report.read_text() if report.exists() else ""
    assert said
    assert found(said + written, AWS_SECRET, TOKEN, CONTENT) == []


async def test_the_relay_shows_no_password_to_its_clients_or_its_log() -> None:
    """Neither the service's password, which the service repeats, nor that of its own clients."""
    async with echoing_smtp("AUTH", 535) as port:
        own = {"SESLIMIT_RELAY_USER": USER, "SESLIMIT_RELAY_PASSWORD": OWN}
        secrets = {"SESLIMIT_SMTP_USER": USER, "SESLIMIT_SMTP_PASSWORD": PASSWORD}
        async with companion("relay", f"smtp://127.0.0.1:{port}?tls=none", **own, **secrets) as relay:

            def client() -> str:
                with smtplib.SMTP("127.0.0.1", relay.port, timeout=60) as session:
                    session.ehlo()
                    wrong = session.docmd("AUTH PLAIN " + base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode())
                    session.login(USER, OWN)
                    try:
                        session.sendmail("a@example.org", ["b@example.net"], f"Subject: x\n\n{CONTENT}\n")
                    except smtplib.SMTPException as error:
                        return f"{wrong} {error!r}"
                    return f"{wrong}"

            said = await asyncio.to_thread(client)
            await relay.ended()
            assert found(said + relay.errors, PASSWORD, OWN, CONTENT) == []
            assert "50" in said or "45" in said or "53" in said


POST = {
    "subject": "Hello",
    "from_email": "a@example.org",
    "content_type": "plain",
    "body": CONTENT,
    "recipients": [{"uuid": "u", "email": "b@example.net", "name": "B", "status": "enabled"}],
    "campaign": None,
    "attachments": [],
}


async def test_the_messenger_shows_no_login_and_no_content() -> None:
    """Wrong logins, wrong requests, bytes that are no HTTP, and a service that repeats the login."""
    async with echoing_smtp("AUTH", 535) as port:
        own = {"SESLIMIT_LISTMONK_USER": USER, "SESLIMIT_LISTMONK_PASSWORD": OWN}
        secrets = {"SESLIMIT_SMTP_USER": USER, "SESLIMIT_SMTP_PASSWORD": PASSWORD}
        options = ("--root-url", "https://lists.example.org")
        to = f"smtp://127.0.0.1:{port}?tls=none"
        async with companion("listmonk", to, *options, **own, **secrets) as messenger:
            url = f"http://127.0.0.1:{messenger.port}/"
            said = ""
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(60)) as client:
                for password, body in ((PASSWORD, POST), (OWN, POST), (OWN, POST | {"recipients": CONTENT})):
                    given = {"Authorization": aiohttp.encode_basic_auth(USER, password)}
                    async with client.post(url, json=body, headers=given) as answer:
                        said += f"{answer.status} {await answer.text()}"
            authorization = base64.b64encode(f"{USER}:{OWN}".encode()).decode()
            for head in (
                f"POST / HTTP/1.1\r\nAuthorization: Basic {authorization}\r\nContent-Length: nonsense\r\n\r\n{CONTENT}",
                f"P@ST / HTTP/9\r\nAuthorization: Basic {authorization}\r\n\r\n{CONTENT}",
                f"POST / HTTP/1.1\r\nAuthorization: Basic {authorization}\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
                + CONTENT,
                f"POST / HTTP/1.1\r\nAuthorization Basic {authorization}\r\n\0\r\n\r\n",
            ):
                reader, writer = await asyncio.open_connection("127.0.0.1", messenger.port)
                writer.write(head.encode())
                writer.write_eof()
                # What it is told is its own words at most; what matters is that nobody else is.
                async with asyncio.timeout(120):
                    await reader.read()
                writer.close()
            await messenger.ended()
            assert found(said + messenger.errors, PASSWORD, OWN, CONTENT) == []
            assert "Traceback" not in messenger.errors
