"""Where a companion listens."""

from __future__ import annotations

import pytest

from seslimit import ConfigurationError
from seslimit.companion._address import Address

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:2587", "127.0.0.1", 2587),
        ("localhost:0", "localhost", 0),
        ("[::1]:25", "::1", 25),
        ("mail.example.net:65535", "mail.example.net", 65_535),
    ],
)
def test_an_address_is_a_host_and_a_port(text: str, host: str, port: int) -> None:
    """It is written back as it was."""
    address = Address.parse(text)
    assert (address.host, address.port, str(address)) == (host, port, text)


@pytest.mark.parametrize("text", ["", "2587", ":2587", "localhost", "localhost:", "::1:25", "[]:25", "a:65536", "a:-1"])
def test_what_is_no_address_is_refused(text: str) -> None:
    """In one sentence, with an example."""
    with pytest.raises(ConfigurationError, match="write HOST:PORT"):
        Address.parse(text)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.0.2.1", False),
        ("localhost.example.net", False),
    ],
)
def test_only_loopback_is_loopback(host: str, loopback: bool) -> None:
    """A name that is not localhost may be anything."""
    assert Address(host, 25).is_loopback is loopback
