"""
Text made from HTML, for the plain alternative of a message.

Decides what of a page is worth reading as text: words, links with their address, lists and what pictures are said to
show; not styles, scripts, what is hidden, nor the pixels that count readers.

Invariants: any input gives some text; nothing is fetched.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TypeAlias

import attrs

Attributes: TypeAlias = list[tuple[str, str | None]]

LEFT_OUT = frozenset({"script", "style", "title", "template", "svg", "noscript", "object", "select", "textarea"})
PARAGRAPHS = frozenset(
    {"p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "dl", "blockquote", "pre", "table", "figure"}
)
BLOCKS = frozenset(
    {"div", "section", "article", "header", "footer", "main", "nav", "aside", "address", "center", "form", "fieldset"}
    | {"tr", "li", "dt", "dd", "thead", "tbody", "tfoot", "caption", "figcaption", "body", "html", "hr"}
)
VOID = frozenset({"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"})
CELLS = frozenset({"td", "th"})

_SPACE = re.compile(r"[ \t\r\n\f\xa0]+")
_INVISIBLE = re.compile("[\u00ad\u034f\u200b-\u200f\u2060\ufeff]")
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_LINK = re.compile(r"(?:https?|mailto|tel|sms):", re.IGNORECASE)
_TINY = re.compile(r"\s*[01](?:px)?\s*")


def plain_text(html: str) -> str:
    """
    The text of a page.

    Returns:
        lines that end in LF, the last one too; empty where the page says nothing.
    """
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader.text()


@attrs.define
class _Lines:
    """Lines under construction: white space is one space, and between two blocks is at most one empty line."""

    done: list[str] = attrs.field(factory=list)
    line: str = ""
    gap: int = 0
    """Line ends that are due before the next word."""
    before: str = ""
    """What the next word is preceded by: the mark of a list's item."""

    def words(self, text: str, *, verbatim: bool = False) -> None:
        if not self.line and not text.strip(" "):
            return
        if not self.line:
            self._begin()
            text = self.before + (text if verbatim else text.lstrip(" "))
            self.before = ""
        elif self.line.endswith(" ") and not verbatim:
            text = text.lstrip(" ")
        self.line += text

    def end(self, gap: int) -> None:
        """The line ends; `gap` is 1 for a new line, 2 for an empty one between."""
        if self.line:
            self.done.append(self.line.rstrip(" "))
            self.line = ""
            self.gap = 1
        self.gap = max(self.gap, gap) if self.done else 0

    def end_once_more(self, most: int) -> None:
        """One more line end, though no more than `most` in a row."""
        if self.line:
            self.end(1)
        elif self.done:
            self.gap = max(self.gap, min(self.gap + 1, most))

    def _begin(self) -> None:
        self.done.extend([""] * (self.gap - 1))
        self.gap = 0


class _Reader(HTMLParser):
    """Reads a page from its beginning to its end."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._lines = _Lines()
        self._skipped: str | None = None
        self._skip_depth = 0
        self._link: tuple[str, int] | None = None
        self._lists: list[int | None] = []
        self._pre = 0
        self._written: list[str] = []

    def text(self) -> str:
        """What was read."""
        self._lines.end(1)
        lines = self._lines.done
        while lines and not lines[-1]:
            lines.pop()
        return "\n".join([*lines, ""]) if lines else ""

    def handle_starttag(self, tag: str, attrs: Attributes) -> None:
        if self._skipped is not None:
            self._skip_depth += tag == self._skipped
            return
        given = {name: value or "" for name, value in attrs}
        if tag not in VOID and (tag in LEFT_OUT or "hidden" in given or _HIDDEN.search(given.get("style", ""))):
            self._skipped, self._skip_depth = tag, 1
        else:
            self._open(tag, given)

    def handle_startendtag(self, tag: str, attrs: Attributes) -> None:
        self.handle_starttag(tag, attrs)
        if tag in LEFT_OUT:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._skipped is not None:
            self._skip_depth -= tag == self._skipped
            if not self._skip_depth:
                self._skipped = None
            return
        if tag == "a":
            self._end_link()
        if tag in ("ul", "ol") and self._lists:
            self._lists.pop()
        if tag == "pre":
            self._pre = max(0, self._pre - 1)
        if tag in CELLS:
            self._say(" ")
        self._break(tag)

    def handle_data(self, data: str) -> None:
        if self._skipped is not None:
            return
        data = _INVISIBLE.sub("", data)
        if not self._pre:
            self._say(_SPACE.sub(" ", data))
            return
        first, *others = data.replace("\r\n", "\n").replace("\xa0", " ").split("\n")
        self._lines.words(first, verbatim=True)
        for line in others:
            self._lines.end_once_more(10)
            self._lines.words(line, verbatim=True)

    def _open(self, tag: str, given: dict[str, str]) -> None:
        self._break(tag)
        match tag:
            case "br":
                self._lines.end_once_more(2)
            case "hr":
                self._say("---")
                self._lines.end(1)
            case "li":
                self._lines.before = self._mark()
            case "ul" | "ol":
                self._lists.append(1 if tag == "ol" else None)
            case "pre":
                self._pre += 1
            case "a":
                self._end_link()
                self._link = (given.get("href", "").strip(), len(self._written))
            case "img" if not (_TINY.fullmatch(given.get("width", "")) or _TINY.fullmatch(given.get("height", ""))):
                self._say(_SPACE.sub(" ", given.get("alt", "")).strip())

    def _mark(self) -> str:
        indent = "  " * (len(self._lists) - 1)
        number = self._lists[-1] if self._lists else None
        if number is None:
            return f"{indent}- "
        self._lists[-1] = number + 1
        return f"{indent}{number}. "

    def _end_link(self) -> None:
        if self._link is None:
            return
        (url, begin), self._link = self._link, None
        shown = "".join(self._written[begin:]).strip()
        if not _LINK.match(url):
            return
        bare = url.partition(":")[2] if url.lower().startswith(("mailto:", "tel:", "sms:")) else url
        if not shown:
            self._say(bare)
        elif shown.rstrip("/") not in (bare.rstrip("/"), bare.partition("://")[2].rstrip("/")):
            self._say(f" ({bare})")

    def _say(self, text: str) -> None:
        if text:
            self._lines.words(text)
            if self._link is not None:
                self._written.append(text)

    def _break(self, tag: str) -> None:
        if tag in PARAGRAPHS:
            self._lines.end(1 if tag in ("ul", "ol") and len(self._lists) > 1 else 2)
        elif tag in BLOCKS:
            self._lines.end(1)
