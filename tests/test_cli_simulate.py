"""`seslimit simulate`: its SMTP door over TLS, ways of counting, profiles."""

from __future__ import annotations

import json
import signal
import smtplib
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from seslimit.cli._commands import run

pytestmark = pytest.mark.once


@contextmanager
def simulating(*arguments: str) -> Iterator[dict[str, Any]]:
    """A simulator in a process of its own; the addresses that it told."""
    command = [sys.executable, "-m", "seslimit", "simulate", "--smtp-port=0", "--api-port=0", "--json", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=120)


def port_of(url: str) -> int:
    """The port of a URL."""
    return int(url.partition("?")[0].rpartition(":")[2])


def handed_over(tls: str, url: str, context: ssl.SSLContext) -> None:
    """Hand a message over as a careful client does."""
    if tls == "implicit":
        client: smtplib.SMTP = smtplib.SMTP_SSL("localhost", port_of(url), context=context)
    else:
        client = smtplib.SMTP("localhost", port_of(url))
        client.starttls(context=context)
    with client:
        client.login("user", "password")
        client.sendmail("a@example.org", ["b@example.net"], "From: a@example.org\n\nHi\n")


@pytest.mark.parametrize(("tls", "scheme"), [("starttls", "smtp://"), ("implicit", "smtps://")])
def test_tls_with_a_certificate_of_its_own(tls: str, scheme: str) -> None:
    """Whoever trusts the authority that it writes down can send; the file is gone with it."""
    with simulating("--tls", tls) as told:
        assert told["smtp"].startswith(scheme)
        handed_over(tls, told["smtp"], ssl.create_default_context(cafile=told["authority"]))
    assert not Path(told["authority"]).exists()


def test_tls_with_a_certificate_that_is_given(tmp_path: Path) -> None:
    """Nothing is made then."""
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    certificate.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "both.pem"))
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with simulating("--tls", "starttls", "--cert", str(tmp_path / "both.pem")) as told:
        assert "authority" not in told
        handed_over("starttls", told["smtp"], context)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--cert", "x.pem"], "--cert and --key need --tls"),
        (["--tls", "starttls", "--key", "x.pem"], "--key needs --cert"),
        (["--tls", "starttls", "--cert", "no-such.pem"], "no-such.pem is no certificate in PEM"),
        (["--tls", "starttls", "--cert", __file__], "is no certificate in PEM"),
        (["--counting", "buckets"], "there is no counting 'buckets'"),
        (["--profile", "no-such.toml"], "the profile no-such.toml cannot be read"),
    ],
)
def test_what_makes_no_sense_is_status_2(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence."""
    assert run(["simulate", *arguments]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("flags", [("--counting", "fixed:seconds=2e6"), ("--profile", "{profile}")])
def test_it_counts_as_it_is_told(flags: tuple[str, str], tmp_path: Path) -> None:
    """Two in a window of 2 million seconds at 1e-6/s, whether typed or in a profile."""
    profile = tmp_path / "profile.toml"
    profile.write_text("rate = 14\n[counting]\nkind = 'fixed'\nseconds = 2e6\n")
    arguments = [flag.format(profile=profile) for flag in flags]
    with simulating(*arguments, "--rate", "1e-6") as told, smtplib.SMTP("localhost", port_of(told["smtp"])) as client:
        client.login("user", "password")
        for _ in range(2):
            client.sendmail("a@example.org", ["b@example.net"], "From: a@example.org\n\nHi\n")
        with pytest.raises(smtplib.SMTPDataError, match="Maximum sending rate exceeded"):
            client.sendmail("a@example.org", ["b@example.net"], "From: a@example.org\n\nHi\n")


def test_without_trustme_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Or what to give instead."""
    monkeypatch.setitem(sys.modules, "trustme", None)
    assert run(["simulate", "--tls", "implicit"]) == 2
    assert "pip install trustme  or give --cert" in capsys.readouterr().err
