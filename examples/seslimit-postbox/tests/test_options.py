"""What the transport is made with: nothing goes unencrypted, and nothing secret is shown."""

from __future__ import annotations

import pytest
from seslimit_postbox import PostboxTransport, from_url

from seslimit import ConfigurationError
from seslimit.transports import TransportURL

from .postbox import TOKEN


@pytest.mark.parametrize(
    ("base_url", "token"),
    [
        ("http://mail.example.org", TOKEN),
        ("ftp://localhost", TOKEN),
        ("https://user:sesame-4@mail.example.org", TOKEN),
        ("https://mail.example.org", f"{TOKEN}\r\nX-Evil: 1"),
    ],
)
def test_an_unsafe_option_is_refused(base_url: str, token: str) -> None:
    """Before anything is opened, in a sentence that shows neither password nor token."""
    with pytest.raises(ConfigurationError) as refused:
        PostboxTransport(base_url, token)
    assert "sesame" not in str(refused.value)
    assert TOKEN not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "postbox://",
        "postbox://mail.example.org",
        f"postbox://user:{TOKEN}@mail.example.org",
        f"postbox://:{TOKEN}@h?tls=none",
    ],
)
def test_a_url_that_would_be_guessed_at_is_refused(url: str) -> None:
    """Without host or token, with a user that nobody asks for, without TLS over a network."""
    with pytest.raises(ConfigurationError) as refused:
        from_url(TransportURL.parse(url))
    assert TOKEN not in str(refused.value)
