"""Django's e-mail through the simulator: what is sent, what a program hears, and whose connections are whose."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import django
import pytest
from anymail.exceptions import AnymailCancelSend
from anymail.signals import post_send, pre_send
from django.conf import settings
from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.test import override_settings

from seslimit import AccountBlocked, InvalidMessage, SendFailed
from seslimit.blocking import Limiter, Sender
from seslimit.testing import APIReply, Fault, Simulator

if not settings.configured:
    settings.configure(DEFAULT_FROM_EMAIL="news@example.com")
    django.setup()

from seslimit.contrib.django import EmailBackend

BACKEND = "seslimit.contrib.django.EmailBackend"


@pytest.fixture
def simulator(ses_simulator: Callable[..., Simulator]) -> Iterator[Simulator]:
    """A simulator that Django is set to."""
    started = ses_simulator(1000, keep_content=True)
    with override_settings(EMAIL_BACKEND=BACKEND, SESLIMIT_URL=started.smtp_url, SESLIMIT_RATE=500):
        yield started


def message(**changes: Any) -> Any:
    """A message of Django's."""
    given = {"subject": "Hello", "body": "Hi!", "from_email": "News <news@example.com>", "to": ["ada@example.net"]}
    return EmailMessage(**(given | changes))


def test_send_mail_sends(simulator: Simulator) -> None:
    """The ordinary function, with nothing of ours but two settings."""
    assert mail.send_mail("Hello", "Grüße!", None, ["Ada <ada@example.net>", "bob@example.net"]) == 1
    (accepted,) = simulator.accepted
    assert (accepted.mail_from, accepted.recipients) == ("news@example.com", ("ada@example.net", "bob@example.net"))
    assert accepted.content is not None
    assert b"Subject: Hello" in accepted.content
    assert accepted.content.isascii()


def test_a_message_has_its_id(simulator: Simulator) -> None:
    """Bounces name it; who was in Bcc is in the envelope alone."""
    sent = message(bcc=["secret@example.net"])
    assert sent.send() == 1
    (accepted,) = simulator.accepted
    assert sent.seslimit_message_id == accepted.message_id
    assert [report.receipt.message_id for report in sent.seslimit_reports] == [accepted.message_id]
    assert "secret@example.net" in accepted.recipients
    assert b"secret" not in (accepted.content or b"")


def test_alternatives_and_attachments_arrive(simulator: Simulator) -> None:
    """As Django made them."""
    sent = EmailMultiAlternatives("Hello", "Hi!", "news@example.com", ["ada@example.net"])
    sent.attach_alternative("<p>Grüße</p>", "text/html")
    sent.attach("a.txt", "attached", "text/plain")
    sent.send()
    content = simulator.accepted[0].content or b""
    assert b"multipart/mixed" in content
    assert b"text/html" in content
    assert b'filename="a.txt"' in content


def test_more_than_fifty_recipients_are_several_messages(simulator: Simulator) -> None:
    """SES takes fifty for one; Django has no such limit."""
    sent = message(to=[], bcc=[f"reader{number}@example.net" for number in range(120)])
    assert sent.send() == 1
    assert sorted(len(each.recipients) for each in simulator.accepted) == [20, 50, 50]
    assert len(sent.seslimit_reports) == 3


def test_many_messages_go_together_and_one_that_fails_stops_none(simulator: Simulator) -> None:
    """Its error is raised when the others are sent."""
    simulator.faults.add(Fault("rcpt", skip=5, reply="550 5.1.1 No such address."))
    mails = [message(to=[f"reader{number}@example.net"]) for number in range(10)]
    with pytest.raises(SendFailed, match="No such address"):
        EmailBackend().send_messages(mails)
    assert simulator.counts.accepted == 9
    assert sorted(each.seslimit_message_id is None for each in mails) == [False] * 9 + [True]


def test_a_throttle_is_no_error(ses_simulator: Callable[..., Simulator]) -> None:
    """It is what this is for."""
    slow = ses_simulator(30, depth=0.1)
    assert EmailBackend(url=slow.smtp_url, rate=60).send_messages([message() for _ in range(30)]) == 30
    assert (slow.counts.accepted, slow.counts.throttled > 0) == (30, True)


def refusing(ses_simulator: Callable[..., Simulator], kind: str, words: str) -> Simulator:
    """A simulator whose API refuses everything."""
    return ses_simulator(1000, faults=[Fault("send", reply=APIReply(400, kind, words), times=None)])


@pytest.fixture
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "simulated")


@pytest.mark.usefixtures("_credentials")
def test_what_is_given_up_raises_unless_silently(ses_simulator: Callable[..., Simulator]) -> None:
    """As Django's own backend; the message says so in any case."""
    started = refusing(ses_simulator, "MessageRejected", "Email address is not verified.")
    sent = message()
    with pytest.raises(SendFailed, match="not verified"):
        EmailBackend(url=started.ses_url).send_messages([sent])
    assert sent.seslimit_message_id is None
    assert EmailBackend(fail_silently=True, url=started.ses_url).send_messages([message()]) == 0


@pytest.mark.usefixtures("_credentials")
def test_a_blocked_account_raises_at_once(ses_simulator: Callable[..., Simulator]) -> None:
    """A request is not kept waiting until somebody has written to AWS."""
    started = refusing(ses_simulator, "AccountSuspendedException", "Account is suspended.")
    with pytest.raises(AccountBlocked):
        EmailBackend(url=started.ses_url).send_messages([message()])
    assert EmailBackend(fail_silently=True, url=started.ses_url).send_messages([message()]) == 0


def test_a_malformed_message_sends_nothing(simulator: Simulator) -> None:
    """Headers with line breaks are Django's error, addresses ours."""
    with pytest.raises(InvalidMessage):
        EmailBackend().send_messages([message(), message(from_email="not an address")])
    with pytest.raises(ValueError, match="newline"):
        EmailBackend().send_messages([message(), message(subject="a\nBcc: b@example.net")])
    assert simulator.counts.accepted == 0
    assert EmailBackend(fail_silently=True).send_messages([message(), message(subject="a\nb")]) == 1


def test_nobody_to_send_to(simulator: Simulator) -> None:
    """Nothing is sent, as with Django's own."""
    assert EmailBackend().send_messages([message(to=[])]) == 0
    assert EmailBackend().send_messages([]) == 0
    assert simulator.counts.accepted == 0


def test_domains_beyond_ascii(simulator: Simulator) -> None:
    """The envelope takes ASCII."""
    message(to=["ada@exämple.net"]).send()
    assert simulator.accepted[0].recipients == ("ada@xn--exmple-cua.net",)


def test_backends_of_one_account_share_a_sender_and_threads_share_a_backend(simulator: Simulator) -> None:
    """Django makes a backend for each `send_mail`; connections are not made anew."""
    backend = mail.get_connection()
    threads = [threading.Thread(target=message(connection=backend).send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for _ in range(8):
        message().send()
    assert simulator.counts.accepted == 16
    assert simulator.counts.smtp_connections <= 8


def test_settings_that_are_wrong_say_so() -> None:
    """As Django says it."""
    with override_settings(SESLIMIT_URL=None), pytest.raises(ImproperlyConfigured, match="SESLIMIT_URL is not set"):
        EmailBackend()
    with pytest.raises(ImproperlyConfigured, match="unknown scheme"):
        EmailBackend(url="pigeon://").send_messages([message()])


def test_options_of_mailers_are_taken_as_django_gives_them(simulator: Simulator) -> None:
    """Django 6.1 makes a backend by `EmailBackend(alias=…, **OPTIONS)`."""
    backend = EmailBackend(alias="default", url=simulator.smtp_url, rate=40, max_rate=50)
    assert backend.send_messages([message()]) == 1


def test_with_an_outbox_nothing_waits_and_a_worker_sends(simulator: Simulator, tmp_path: Path) -> None:
    """Messages are on the disk when the call returns; the process that sends is another one."""
    file = str(tmp_path / "mail.db")
    backend = EmailBackend(outbox=file)
    assert backend.send_messages([message(), message(bcc=[f"r{number}@example.net" for number in range(60)])]) == 2
    assert EmailBackend(outbox=file).send_messages([]) == 0
    assert simulator.counts.accepted == 0
    with Sender(simulator.smtp_url, limiter=Limiter(500), outbox=file) as sender:
        assert len(list(sender.drain())) == 3
    assert simulator.counts.recipients == 62
    with pytest.raises(ImproperlyConfigured, match="SESLIMIT_OUTBOX"):
        EmailBackend(outbox="mysql://host/database").send_messages([message()])


def test_processes_of_a_host_share_the_rate(ses_simulator: Callable[..., Simulator]) -> None:
    """`SESLIMIT_SHARED`; a wrong address is a sentence."""
    started = ses_simulator(1000)
    with override_settings(SESLIMIT_URL=started.smtp_url, SESLIMIT_RATE=100, SESLIMIT_SHARED=f"host:{uuid.uuid4()}"):
        assert EmailBackend().send_messages([message()]) == 1
    with pytest.raises(ImproperlyConfigured, match="nothing that keeps a rate"):
        EmailBackend(url=started.smtp_url, shared="pigeon:").send_messages([message()])


def test_anymail_s_signals_are_sent_where_it_is(simulator: Simulator) -> None:
    """A message can be held back, and its id is where anymail's users look. Source: anymail.dev, "Signals"."""
    heard: list[tuple[str, Any]] = []

    def before(sender: type, message: Any, esp_name: str, **_: Any) -> None:
        heard.append(("pre_send", esp_name))
        if message.subject == "cancel":
            raise AnymailCancelSend

    def after(sender: type, message: Any, status: Any, esp_name: str, **_: Any) -> None:
        heard.append(("post_send", {to: (one.message_id, one.status) for to, one in status.recipients.items()}))

    pre_send.connect(before)
    post_send.connect(after)
    try:
        sent = message()
        assert EmailBackend().send_messages([sent, message(subject="cancel")]) == 1
    finally:
        pre_send.disconnect(before)
        post_send.disconnect(after)
    assert heard == [
        ("pre_send", "Amazon SES"),
        ("pre_send", "Amazon SES"),
        ("post_send", {"ada@example.net": (sent.seslimit_message_id, "queued")}),
    ]
    assert sent.anymail_status.message_id == sent.seslimit_message_id


def test_anymail_s_own_backend_sends_to_the_simulator(ses_simulator: Callable[..., Simulator]) -> None:
    """As its users have it, with no change but the address. Source: anymail.dev, "Amazon SES"."""
    started = ses_simulator(100, keep_content=True)
    client = {
        "region_name": "us-east-1",
        "endpoint_url": started.api_url,
        "aws_access_key_id": "simulated",
        "aws_secret_access_key": "simulated",
    }
    with override_settings(
        EMAIL_BACKEND="anymail.backends.amazon_ses.EmailBackend", ANYMAIL={"AMAZON_SES_CLIENT_PARAMS": client}
    ):
        sent = message()
        with mail.get_connection() as connection:
            assert connection.send_messages([sent]) == 1
    (accepted,) = started.accepted
    assert (accepted.recipients, sent.anymail_status.message_id) == (("ada@example.net",), accepted.message_id)


def test_forked_workers_send_on_connections_of_their_own(simulator: Simulator) -> None:
    """Celery's prefork, gunicorn with `--preload`: after the parent has sent."""
    script = """
    import os, django
    from django.conf import settings
    from django.core.mail import send_mail
    settings.configure(EMAIL_BACKEND="seslimit.contrib.django.EmailBackend", SESLIMIT_URL=%r, SESLIMIT_RATE=100)
    django.setup()
    def send(): return send_mail("Hello", "Hi!", "news@example.com", ["ada@example.net"])
    send()
    children = []
    for _ in range(2):
        if (child := os.fork()) == 0:
            os._exit(send() + send())
        children.append(child)
    print([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children], send())
    """
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(script % simulator.smtp_url)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (ended.stdout, ended.stderr) == ("[2, 2] 1\n", "")
    assert simulator.counts.accepted == 6
