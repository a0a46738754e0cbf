"""The API door of SES: `SendEmail` and `GetAccount` of the SES API v2."""

from ._transport import GET_ACCOUNT_RATE, SESTransport, from_url, session_with

__all__ = ["GET_ACCOUNT_RATE", "SESTransport", "from_url", "session_with"]
