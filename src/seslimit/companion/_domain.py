"""
Domains beyond ASCII, as an envelope takes them.

By IDNA 2008, in which "ß" is a letter of its own: the standard library's codec is of 2003 and would make another domain
of it, whose mail is somebody else's.
"""

from __future__ import annotations

import idna

MAX_DOMAIN = 253
"""Characters of a domain. Source: RFC 1035, 3.1, as text."""


def in_punycode(address: str) -> str:
    """The address with its domain in ASCII; as it is where nothing is to be done, or nothing can."""
    local, at, domain = address.rpartition("@")
    if domain.isascii() or not local.isascii() or len(domain) > MAX_DOMAIN:
        return address
    try:
        return f"{local}{at}{idna.encode(domain, uts46=True).decode('ascii')}"
    except idna.IDNAError:
        return address
