"""The plain text that is made from a page."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seslimit.companion.listmonk._plain_text import plain_text

GOLDEN = Path(__file__).parent / "listmonk"


def test_a_newsletter_reads_as_its_golden_text() -> None:
    """Links with their addresses, lists, line breaks, entities; no styles, no scripts, nothing hidden, no pixel."""
    html = (GOLDEN / "newsletter.html").read_text(encoding="utf-8")
    assert plain_text(html) == (GOLDEN / "newsletter.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("", ""),
        ("Just words", "Just words\n"),
        ("<p>one</p><p>two</p>", "one\n\ntwo\n"),
        ("<div>one</div><div>two</div>", "one\ntwo\n"),
        ("one<br>two<br/>three", "one\ntwo\nthree\n"),
        ("one<br><br><br><br>two", "one\n\ntwo\n"),
        ("<p>one\n   two\t three</p>", "one two three\n"),
        ("a <b> b </b> c", "a b c\n"),
        ("<td>1</td><td>2</td>", "1 2\n"),
        ("&lt;p&gt; &amp;amp; &euro; &#x41;&#66;", "<p> &amp; € AB\n"),
        (f"&#{'9' * 5000};&#{'0' * 5000}65;&#00000000;<a href='&#{'9' * 5000}'>x</a>", "\ufffdA\ufffdx\n"),
        ("1 < 2 and 3 > 2", "1 < 2 and 3 > 2\n"),
        ("<P>Capitals</P><BR><SCRIPT>x</SCRIPT>", "Capitals\n"),
        ('<a href="https://example.net/a">https://example.net/a</a>', "https://example.net/a\n"),
        ("<a href=https://example.net/a>here</a>", "here (https://example.net/a)\n"),
        ('<a href="https://example.net/a"></a>', "https://example.net/a\n"),
        ('<a href="https://example.net/a"><b>not closed', "not closed (https://example.net/a)\n"),
        ('<a href="mailto:a@example.net">write</a>', "write (a@example.net)\n"),
        ('<a href="javascript:alert(1)">click</a>', "click\n"),
        ('<a name="x">anchor</a>', "anchor\n"),
        ('<img src="x.png" alt="A hill">', "A hill\n"),
        ('<img src="x.png" alt="1" width="1" height="1">', ""),
        ('<img src="x.png" alt="1" width=0>', ""),
        ("<p hidden>no</p>yes", "yes\n"),
        ('<div style="DISPLAY: none"><div>no</div>no</div>yes', "yes\n"),
        ('<span title="a > b">quoted</span>', "quoted\n"),
        ("<style>p{}</style>yes<style>never closed", "yes\n"),
        ("<!-- no -->yes<!-- never closed", "yes\n"),
        ("<?xml version='1.0'?><!DOCTYPE html>yes", "yes\n"),
        ("<ol><li>a</li><li>b</li></ol>", "1. a\n2. b\n"),
        ("<ul><li><p>a</p></li><li></li><li>b</li></ul>", "- a\n\n- b\n"),
        ("<pre>a\n  b\n\nc</pre>", "a\n  b\n\nc\n"),
    ],
)
def test_a_page_reads_as_it_looks(html: str, text: str) -> None:
    """One rule at a time."""
    assert plain_text(html) == text


@given(st.lists(st.sampled_from(['<a href="', "<p>", "</p>", "<", ">", "'", '"', "<!--", "<script>", "x ", "&", "\n"])))
def test_any_input_gives_some_text(pieces: list[str]) -> None:
    """However broken the page: no error, and no line longer than the page allows."""
    text = plain_text("".join(pieces))
    assert text == "" or text.endswith("\n")


@pytest.mark.parametrize(
    "piece",
    ["<", "<a ", '<a href="', "<!--", "<p", "</", "<![", "<script>", "<div>", "&", "<ul><li>", "<i>x", "<a href=x>"],
)
def test_a_page_made_to_be_slow_is_not(piece: str) -> None:
    """A megabyte takes about as long as ten times a tenth of it."""
    seconds = []
    for size in (100_000, 1_000_000):
        page = piece * (size // len(piece))
        began_at = time.process_time()
        plain_text(page)
        seconds.append(time.process_time() - began_at)
    assert seconds[1] < 40 * max(seconds[0], 0.01)
