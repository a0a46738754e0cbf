"""
django-anymail's signals and status, for programs that listen to them: `pre_send`, `post_send`, `anymail_status`.

Nothing happens where anymail is not installed. What is told is what anymail's own backend for Amazon SES tells.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from ..._model.report import Report

ESP_NAME = "Amazon SES"


@cache
def _anymail() -> Any:
    """The package with its modules; None where it is not installed."""
    try:
        import anymail.exceptions  # pyright: ignore[reportMissingImports]  # not one of ours
        import anymail.message  # pyright: ignore[reportMissingImports]  # not one of ours
        import anymail.signals  # pyright: ignore[reportMissingImports]  # not one of ours
    except ModuleNotFoundError:
        return None
    return anymail


def before(backend: type, message: Any) -> bool:
    """Tell that a message is to be sent; whether it still is."""
    anymail = _anymail()
    if anymail is None:
        return True
    message.anymail_status = anymail.message.AnymailStatus()
    try:
        anymail.signals.pre_send.send(backend, message=message, esp_name=ESP_NAME)
    except anymail.exceptions.AnymailCancelSend:
        return False
    return True


def after(backend: type, message: Any, reports: tuple[Report, ...]) -> None:
    """Tell what became of a message."""
    anymail = _anymail()
    if anymail is None:
        return
    one = anymail.message.AnymailRecipientStatus
    message.anymail_status.set_recipient_status(
        {
            recipient: one(None, "failed")
            if report.receipt is None or recipient in report.refused
            else one(report.receipt.message_id, "queued")
            for report in reports
            for recipient in report.message.recipients
        }
    )
    anymail.signals.post_send.send(backend, message=message, status=message.anymail_status, esp_name=ESP_NAME)
