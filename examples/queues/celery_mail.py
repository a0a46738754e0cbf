"""
Celery: a task that sends one message, at the account's rate, whatever the number of workers and of their processes.

    celery --app celery_mail worker --pool prefork --concurrency 4

The task is an ordinary function: `seslimit.blocking` waits for the turn, tries again what was throttled, and raises
what cannot be sent. All processes share the account's rate: by a Redis, or on one machine by `host:mail`.
"""

from __future__ import annotations

import os

from celery import Celery

from seslimit import Message
from seslimit.blocking import Limiter, Sender

app = Celery("mail", broker=os.environ["BROKER_URL"])
# A task of a process that was killed is given to another one. What was being sent at that moment is sent twice.
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
)

# Made once, before Celery forks: each process has connections of its own all the same.
sender = Sender(os.environ["MAIL_URL"], limiter=Limiter(shared=os.environ.get("MAIL_SHARED", "host:mail")))


@app.task
def send(mail_from: str, recipients: list[str], content: str) -> None:
    """Send one message; returns when SES has accepted it."""
    sender.send(Message(mail_from, recipients, content.encode()))
