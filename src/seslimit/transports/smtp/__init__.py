"""The SMTP door of SES, with a pool of connections and a client that reads every reply strictly."""

from ._password import derive_smtp_password
from ._transport import PASSWORD, USER, SMTPTransport, from_url

__all__ = ["PASSWORD", "USER", "SMTPTransport", "derive_smtp_password", "from_url"]
