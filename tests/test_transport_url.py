"""Transports are found by the scheme of a URL, and no sentence about a URL holds its password."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

import seslimit.transports
from seslimit import ConfigurationError, Message, Receipt, transport_from_url
from seslimit.transports import ENTRY_POINTS, TransportURL
from seslimit.transports.ses import SESTransport
from seslimit.transports.ses._options import SESOptions
from seslimit.transports.smtp import SMTPTransport
from seslimit.transports.smtp._options import SMTPOptions

PASSWORD = "s3cret"


class Plugin:
    """A transport of somebody else's."""

    def __init__(self, url: TransportURL) -> None:
        self.options = url.take("colour")

    async def send(self, message: Message) -> Receipt:
        """Accept."""
        return Receipt("id")

    async def aclose(self) -> None:
        """Nothing to release."""


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two plug-ins are installed: one that works, one whose package is broken."""
    points = EntryPoints(
        [
            EntryPoint("plugin", f"{__name__}:Plugin", ENTRY_POINTS),
            EntryPoint("broken", "no_such_package:Transport", ENTRY_POINTS),
        ]
    )
    monkeypatch.setattr(seslimit.transports, "entry_points", points.select)


def test_a_url_becomes_the_transport_of_its_scheme() -> None:
    """The factory gets the parts of the URL; the others are not even imported."""
    transport = transport_from_url("plugin://?colour=red")
    assert isinstance(transport, Plugin)
    assert transport.options == {"colour": "red"}


def test_a_scheme_is_found_in_capitals_too() -> None:
    """As RFC 3986 has it."""
    assert isinstance(transport_from_url("PLUGIN://"), Plugin)


def test_an_unknown_scheme_is_named_with_those_there_are() -> None:
    """In one sentence."""
    with pytest.raises(ConfigurationError, match=r"unknown scheme 'smpt': use one of broken, plugin\."):
        transport_from_url("smpt://host")


def test_an_unknown_option_is_named_with_those_there_are() -> None:
    """In one sentence."""
    with pytest.raises(ConfigurationError, match=r"unknown option 'color' in the plugin URL: use colour\."):
        transport_from_url("plugin://?color=red")


def test_a_url_is_taken_apart() -> None:
    """User and password are decoded, options are a mapping."""
    url = TransportURL.parse("smtp://AKIA%2F1:a%2Fb%40c%2Bd@email-smtp.eu-west-1.amazonaws.com:587?tls=none&x=")
    assert url == TransportURL(
        "smtp", "email-smtp.eu-west-1.amazonaws.com", 587, "AKIA/1", "a/b@c+d", {"tls": "none", "x": ""}
    )


def test_what_a_url_leaves_out_is_none_or_empty() -> None:
    """A port that is not there is not 0."""
    assert TransportURL.parse("sim://") == TransportURL("sim")


def test_an_ipv6_host_is_taken_without_brackets() -> None:
    """As a socket wants it."""
    assert TransportURL.parse("smtp://[::1]:2525").host == "::1"


@pytest.mark.parametrize("url", ["", "eu-west-1", "://host", "smtp:/host", "a b://host", "sché://host", "smtp//host"])
def test_a_url_without_a_scheme_is_refused(url: str) -> None:
    """With an example."""
    with pytest.raises(ConfigurationError, match="ses://eu-west-1"):
        TransportURL.parse(url)


@pytest.mark.parametrize(
    "url",
    [
        f"smtp://user:1/{PASSWORD}@host",
        f"smtp://user:1#{PASSWORD}@host",
        f"smtp://user:{PASSWORD}/x@host",
        f"smtp://user:12?{PASSWORD}@host",
        f"smtp://user:12?a=1&{PASSWORD}=2@host",
        f"smtp://us?er:{PASSWORD}@host",
        f"smtp://user:p@12?{PASSWORD}@host",
        f"smtp://user:12/?{PASSWORD}@host",
        f"ses://AKIA:12?{PASSWORD}@eu-west-1",
        "smtp://host/path",
        "smtp://host:587#x",
        "smtp://host:none",
    ],
)
def test_a_password_that_was_not_encoded_is_refused_with_the_remedy(url: str) -> None:
    """A part of it would be the host, the options or a path; nothing of it is shown."""
    with pytest.raises(ConfigurationError, match="percent-encode") as refusal:
        TransportURL.parse(url)
    assert PASSWORD not in str(refusal.value)
    assert "12" not in str(refusal.value)
    assert len(str(refusal.value).split(". ")) == 1


@pytest.mark.parametrize(
    "url",
    [
        f"smtp://user:{PASSWORD}@host:99999",
        f"smtp://user:{PASSWORD}@host:x",
        f"smtp://user:{PASSWORD}@[::1",
        f"smtp://user:1/{PASSWORD}@host",
        f"smtp://user:1#{PASSWORD}@host",
        f"smtp://user:1?{PASSWORD}@host",
        f"smtp://user:{PASSWORD}/x@host",
        f"smtp://user:{PASSWORD}#x@host",
        f"smtp://user:{PASSWORD}@host?a=1&a=2",
        f"plugin://user:{PASSWORD}@host?b=1",
        f"nobody://user:{PASSWORD}@host",
    ],
)
def test_a_wrong_url_is_refused_without_its_password(url: str) -> None:
    """A password that was not encoded is taken for a host or a port, and still not shown."""
    with pytest.raises(ConfigurationError) as refusal:
        transport_from_url(url)
    assert PASSWORD not in str(refusal.value)
    assert str(refusal.value).isprintable()


def test_the_password_is_not_shown() -> None:
    """Not in a traceback with locals either."""
    assert PASSWORD not in repr(TransportURL.parse(f"smtp://user:{PASSWORD}@host"))


def test_port_0_is_refused() -> None:
    """It does not stand for the usual one."""
    with pytest.raises(ConfigurationError, match="port 0"):
        transport_from_url("plugin://host:0")


@pytest.mark.parametrize(("text", "count"), [("1", 1), ("250", 250), ("1e3", 1000)])
def test_a_count_is_read_from_an_option(text: str, count: int) -> None:
    """Or the default is taken."""
    url = TransportURL.parse(f"smtp://host?max_connections={text}")
    assert (url.count("max_connections", 7), url.count("max_messages_per_connection", 7)) == (count, 7)


@pytest.mark.parametrize("text", ["2.5", "0", "0.5", "-1", "many", "inf"])
def test_a_count_that_is_none_is_refused(text: str) -> None:
    """A fraction is not cut."""
    with pytest.raises(ConfigurationError, match=r"max_connections.*write a"):
        TransportURL.parse(f"smtp://host?max_connections={text}").count("max_connections", 7)


def test_a_number_is_read_from_an_option() -> None:
    """Or the default is taken."""
    url = TransportURL.parse("sim://?rate=14.5")
    assert (url.number("rate", 1.0), url.number("depth", 0.1)) == (14.5, 0.1)


@pytest.mark.parametrize("text", ["", "many", "-1", "nan", "0.5", "1e400x"])
def test_a_number_that_is_none_or_too_small_is_refused(text: str) -> None:
    """With the least that it may be."""
    with pytest.raises(ConfigurationError, match="at least 1"):
        TransportURL.parse(f"sim://?rate={text}").number("rate", 1.0, least=1.0)


@given(st.text(max_size=60))
def test_whatever_the_text_it_is_taken_apart_or_refused(text: str) -> None:
    """No other exception leaves."""
    for url in (text, f"smtp://{text}", f"smtp://u:{text}@host"):
        try:
            TransportURL.parse(url)
        except ConfigurationError as refusal:
            assert str(refusal)  # noqa: PT017  # either way is right


@pytest.mark.parametrize("value", [0, -1, float("nan"), "many", None])
@pytest.mark.parametrize(
    ("transport", "option"),
    [
        *((SMTPTransport, field.name) for field in attrs.fields(SMTPOptions) if str(field.type) in ("int", "float")),
        *((SESTransport, field.name) for field in attrs.fields(SESOptions) if str(field.type) in ("int", "float")),
    ],
)
def test_numbers_are_checked(transport: Any, option: str, value: object) -> None:
    """Every number that a transport takes is refused outside its range, in a sentence that names it."""
    with pytest.raises(ConfigurationError, match=option):
        transport("example.org", **{option: value})
