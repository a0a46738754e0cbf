"""The habits of the two doors, as values; what a door does with them is its own business."""

from __future__ import annotations

import ssl
from typing import Literal

import attrs

from ._service import MAX_SIZE


@attrs.frozen(kw_only=True)
class SMTPRules:
    """
    How the SMTP door treats its sessions.

    Args:
        credentials: the one user and password that are let in; None lets everybody in.
        auth_required: whether MAIL needs a login before it.
        tls: `none`; `starttls` (nothing but EHLO before it); `implicit`.
        ssl_context: the server's context, for `starttls` and `implicit`.
        idle_timeout: seconds without a word of the client until the door says so, unasked, and closes.
        session_cap: messages (accepted or not) in one session, after which it is closed; None for no cap. The cap of
            the service is not documented.
        session_cap_at: where the closing reply comes: at the next `mail`; at the next `rset` (or MAIL); or at the next
            message's `dot`, which is then not accepted. Which one the service uses is not documented.
        max_connections: connections at a time, beyond which a new one is refused instead of greeted; None for no cap.
        sticky: whether a refused message leaves its transaction open, so that MAIL without RSET is refused.
        max_size: bytes of one message.
    """

    credentials: tuple[str, str] | None = None
    auth_required: bool = True
    tls: Literal["none", "starttls", "implicit"] = "none"
    ssl_context: ssl.SSLContext | None = None
    idle_timeout: float = 10.0
    session_cap: int | None = None
    session_cap_at: Literal["mail", "rset", "dot"] = "mail"
    max_connections: int | None = None
    sticky: bool = True
    max_size: int = MAX_SIZE

    def __attrs_post_init__(self) -> None:
        if (self.tls == "none") is not (self.ssl_context is None):
            raise ValueError("tls='starttls' and tls='implicit' need an ssl_context, and tls='none' takes none")


@attrs.frozen(kw_only=True)
class APIRules:
    """
    What the API door tells and whom it lets in.

    Args:
        credentials: `accepted` lets every signature in; `unknown` and `expired` refuse all of them, with 403.
        key: the access key id and the secret that every request has to be signed with; None where nobody looks.
        get_account: `allowed`; `denied` (AccessDeniedException); `throttled` (always TooManyRequestsException).
        get_account_rate: GetAccount requests/s that are answered, above 0; the rest gets 429.
        max_send_rate: the MaxSendRate that GetAccount tells; None tells the true rate in force.
        sent_lag: how many seconds old SentLast24Hours may be.
        sending_enabled: what GetAccount tells; sends are refused by a `Fault` only.
        production_access_enabled: what GetAccount tells.
        enforcement_status: what GetAccount tells: HEALTHY, PROBATION or SHUTDOWN.
        idle_timeout: seconds without a request until a connection is closed; the service's own is not documented.
        session_cap: requests on one connection, the last of which is answered with `Connection: close`; None for no
            cap.
        max_connections: connections at a time, beyond which a new one is closed at once; None for no cap.
        max_size: bytes of one message.
    """

    credentials: Literal["accepted", "unknown", "expired"] = "accepted"
    key: tuple[str, str] | None = attrs.field(default=None, repr=False)
    get_account: Literal["allowed", "denied", "throttled"] = "allowed"
    get_account_rate: float = 1.0
    max_send_rate: float | None = None
    sent_lag: float = 0.0
    sending_enabled: bool = True
    production_access_enabled: bool = True
    enforcement_status: str = "HEALTHY"
    idle_timeout: float = 60.0
    session_cap: int | None = None
    max_connections: int | None = None
    max_size: int = MAX_SIZE
