"""What people send with today, against the simulator and through the relay, as the documentation of each has it."""

from __future__ import annotations

import json
from collections.abc import Callable
from email import message_from_bytes
from email.policy import default
from typing import Any

import pytest

from seslimit import RetryPolicy
from seslimit.testing import AcceptedMessage, Simulator

from .other_clients import aws, needs_aws, needs_node, node
from .relaying import relay_to

pytestmark = pytest.mark.once

RAW = "From: news@example.org\r\nTo: ada@example.net\r\nSubject: Hello\r\n\r\nHi!\r\n"


@pytest.fixture
def simulator(ses_simulator: Callable[..., Simulator]) -> Simulator:
    """One that keeps what it takes."""
    return ses_simulator(500, keep_content=True)


def only(simulator: Simulator) -> AcceptedMessage:
    """The one message that was accepted."""
    (accepted,) = simulator.accepted
    return accepted


def read(accepted: AcceptedMessage) -> Any:
    """Its content, parsed."""
    assert accepted.content is not None
    return message_from_bytes(accepted.content, policy=default)


@needs_aws
async def test_the_aws_cli_sends_what_is_given_whole(simulator: Simulator) -> None:
    """`aws sesv2 send-email` with Content.Raw. Source: AWS CLI Command Reference, "send-email" of sesv2."""
    content = json.dumps({"Raw": {"Data": RAW}})
    told = await aws(simulator.api_url, "sesv2", "send-email", "--content", content)
    assert told["MessageId"]
    assert only(simulator).recipients == ("ada@example.net",)
    assert read(only(simulator))["Subject"] == "Hello"


@needs_aws
async def test_the_aws_cli_sends_what_the_service_composes(simulator: Simulator) -> None:
    """`aws sesv2 send-email` with Content.Simple, as in the reference's example."""
    content = json.dumps({"Simple": {"Subject": {"Data": "Grüße"}, "Body": {"Text": {"Data": "Hi!"}}}})
    to = ("--from-email-address", "news@example.org", "--destination", "ToAddresses=ada@example.net,bob@example.net")
    await aws(simulator.api_url, "sesv2", "send-email", *to, "--content", content)
    assert only(simulator).recipients == ("ada@example.net", "bob@example.net")
    assert read(only(simulator))["Subject"] == "Grüße"


@needs_aws
async def test_the_aws_cli_reads_the_account(ses_simulator: Callable[..., Simulator]) -> None:
    """`aws sesv2 get-account`, and `aws ses get-send-quota` of the older API; both are answered once a second."""
    account = await aws(ses_simulator(500).api_url, "sesv2", "get-account")
    quota = await aws(ses_simulator(500).api_url, "ses", "get-send-quota")
    assert account["SendQuota"]["MaxSendRate"] == quota["MaxSendRate"] == 500


@needs_aws
async def test_the_aws_cli_sends_over_the_older_api(simulator: Simulator) -> None:
    """`aws ses send-raw-email` and `aws ses send-email`. Source: AWS CLI Command Reference, ses."""
    await aws(simulator.api_url, "ses", "send-raw-email", "--raw-message", json.dumps({"Data": RAW}))
    text = ("--subject", "Second", "--text", "Hi!")
    await aws(simulator.api_url, "ses", "send-email", "--from", "news@example.org", "--to", "bob@example.net", *text)
    assert [each.recipients for each in simulator.accepted] == [("ada@example.net",), ("bob@example.net",)]


NODEMAILER = """
const {hostname: host, port, username: user, password: pass} = new URL(process.argv[1]);
const auth = user ? {auth: {user, pass}} : {};
const pool = {pool: true, maxConnections: 5, ignoreTLS: true};
const transporter = require("nodemailer").createTransport({host, port: Number(port), ...auth, ...pool});
const send = number => transporter.sendMail({
    from: "News <news@example.org>", to: `Reader <reader${number}@example.net>`, subject: "Grüße", text: "Hi!",
}).then(() => "accepted", error => error.message);
Promise.all([...Array(Number(process.argv[2])).keys()].map(send)).then(answers => {
    transporter.close();
    console.log(JSON.stringify(answers));
});
"""
"""A pool, as its documentation has it; no rate is set. Source: nodemailer.com, "Pooled SMTP"."""


@needs_node
async def test_nodemailer_sends_to_the_simulator(simulator: Simulator) -> None:
    """Its pool is taken as SES would take it."""
    url = simulator.smtp_url
    assert await node(NODEMAILER, url, "20") == ["accepted"] * 20
    assert read(simulator.accepted[0])["Subject"] == "Grüße"


@needs_node
async def test_nodemailer_loses_nothing_through_the_relay(ses_simulator: Callable[..., Simulator]) -> None:
    """Sixty at once to an account of 20/s: each is accepted once, where the pool by itself is throttled."""
    alone, behind = ses_simulator(20), ses_simulator(20)
    async with relay_to(behind, rate=20, retry=RetryPolicy()) as relay:
        answers = await node(NODEMAILER, f"smtp://127.0.0.1:{relay.port}", "60")
    assert answers == ["accepted"] * 60
    assert sorted(each.recipients[0] for each in behind.accepted) == sorted(f"reader{n}@example.net" for n in range(60))
    refused = set(await node(NODEMAILER, alone.smtp_url, "60")) - {"accepted"}
    assert any("Maximum sending rate exceeded" in each for each in refused)
