"""
The words of the service, as data: what the simulator's doors say, and what a fault can make them say.

Texts only; when each is said is decided by the doors.
"""

from __future__ import annotations

import enum


class SMTPText(enum.StrEnum):
    """
    Replies of the SMTP door; every one can be given to a `Fault`.

    Source:
        Amazon SES Developer Guide, "Amazon SES SMTP issues" and "Email sending errors", and captured sessions; read
        2026-11.
    """

    OK = "250 Ok"
    END_DATA = "354 End data with <CR><LF>.<CR><LF>"
    BYE = "221 Bye"
    START_TLS = "220 Ready to start TLS"
    AUTHENTICATED = "235 Authentication successful."

    RATE_EXCEEDED = "454 Throttling failure: Maximum sending rate exceeded."
    QUOTA_EXCEEDED = "454 Throttling failure: Daily message quota exceeded."
    OLD_CREDENTIALS_RATE_EXCEEDED = "454 Throttling failure: Maximum SigV2 SMTP sending rate exceeded."

    TOO_MANY_CONNECTIONS = "421 Too many concurrent SMTP connections"
    TRY_AGAIN_LATER = "421 Too many connections, try again later"
    SESSION_CAP = "421 Connection closed by server. Maximum message count per session reached."
    SESSION_CAP_OLD = "421 Connection closed by server. Too many messages in one session"
    NOT_AVAILABLE = "421 Service not available, closing transmission channel."
    IDLE = "451 4.4.2 Timeout waiting for data from client."
    IDLE_OLD = "421 Timeout waiting for data from client."

    TEMPORARY_FAILURE = "451 Temporary service failure"
    TEMPORARY_FAILURE_NOT_RECEIVED = "454 Temporary service failure"
    TEMPORARY_AUTH_FAILURE = "454 Temporary authentication failure"
    TLS_NOT_AVAILABLE = "454 TLS not available"

    INVALID_MAIL_FROM = "501 Invalid MAIL FROM address provided"
    ALREADY_SPECIFIED = "503 Sender already specified."
    AUTH_REQUIRED = "530 Authentication required"
    STARTTLS_FIRST = "530 Must issue a STARTTLS command first"
    CREDENTIALS_INVALID = "535 Authentication Credentials Invalid"
    NOT_SUBSCRIBED = "535 Account not subscribed to SES"

    TOO_LONG = "552 Message is too long."
    TOO_MANY_RECIPIENTS = "554 Transaction failed: Recipient count exceeds 50."
    MISSING_DOMAIN = "554 Transaction failed: Missing final '@domain'"
    MISSING_FROM = "554 Transaction failed: Missing required header 'From'."
    DUPLICATE_HEADER = "554 Transaction failed: Duplicate header 'From'."
    CONTROL_OR_WHITESPACE = "554 Transaction failed: Local address contains control or whitespace"
    ACCESS_DENIED = (
        "554 Access denied: User `arn:aws:iam::123456789012:user/smtp-user' is not authorized to perform "
        "`ses:SendRawEmail' on resource `arn:aws:ses:us-east-1:123456789012:identity/example.org'"
    )
    NOT_VERIFIED = (
        "554 Message rejected: Email address is not verified. The following identities failed the check in region "
        "US-EAST-1: sender@example.org"
    )
    PAUSED = (
        "554 Message rejected: Sending paused for this account. For more information, please check the inbox of the "
        "email address associated with your AWS account."
    )
    SUSPENDED = (
        "554 Message rejected: Sending suspended for this account. For more information, please check the inbox of "
        "the email address associated with your AWS account."
    )
    BLACKLISTED = "554 Message rejected: Address blacklisted"
    MAIL_FROM_NOT_VERIFIED = "554 MAIL FROM domain not verified: DNS setup for MAIL FROM domain is invalid."


REFUSED = "554 Transaction failed: "
"""How the SMTP door begins where it says what is wrong with a message."""

RATE_EXCEEDED = "Maximum sending rate exceeded."
"""The API's message for a throttle; the error type is the same as for the daily quota."""

QUOTA_EXCEEDED = "Daily message quota exceeded."
"""The API's message for an exhausted daily quota."""

REQUEST_RATE_EXCEEDED = "Rate exceeded"
"""The API's message for too many requests other than sends; not documented for SES, it is AWS's usual one."""
