"""
Text made from HTML, for the plain alternative of a message.

Decides what of a page is worth reading as text: words, links with their address, lists and what pictures are said to
show; not styles, scripts, what is hidden, nor the pixels that count readers. It has a reader of its own, since
`html.parser` takes 50 ms for a newsletter of 50 kB, and minutes for one that is made to.

Invariants: any input gives some text, in time that grows with its length only; nothing is fetched.
"""

from __future__ import annotations

import re
from html import unescape

import attrs

LEFT_OUT = frozenset({"template", "svg", "math", "noscript", "object", "select", "iframe"})
PARAGRAPHS = frozenset(
    {"p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "dl", "blockquote", "pre", "table", "figure"}
)
BLOCKS = frozenset(
    {"div", "section", "article", "header", "footer", "main", "nav", "aside", "address", "center", "form", "fieldset"}
    | {"tr", "li", "dt", "dd", "thead", "tbody", "tfoot", "caption", "figcaption", "body", "html", "hr"}
)
VOID = frozenset({"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"})
CELLS = frozenset({"td", "th"})

MAX_INDENT = 6
"""Lists in lists that are indented; deeper ones are written as deep as that."""

_TOKEN = re.compile(
    r"""
      (?P<data> (?: [^<]+ | <(?![a-z!?/]) )++ )
    | <!--.*?(?:-->|\Z)
    | <(?P<raw>script|style|title|textarea)\b [^>]* (?: > .*? (?: </(?P=raw)\b [^>]*>? | \Z ) | \Z )
    | <(?P<slash>/?)(?P<tag>[a-z][^\s/>]*)(?P<attributes>(?: [^>"']+ | "[^"]*(?:"|\Z) | '[^']*(?:'|\Z) )*+)>?
    | <[!?/][^>]*>?
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
"""Every alternative takes what it began, so that nothing is read twice, however broken the page."""
_ATTRIBUTE = re.compile(r"""([^\s=>"'/]+)\s*(?:=\s*("[^"]*"?|'[^']*'?|[^\s>]+))?""")
_SPACE = re.compile(r"[ \t\r\n\f\xa0]+")
_INVISIBLE = re.compile("[\u00ad\u034f\u200b-\u200f\u2060\ufeff]")
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_NUMBER = re.compile(r"&#([0-9]{8,});?")
_LINK = re.compile(r"(?:https?|mailto|tel|sms):", re.IGNORECASE)
_TINY = re.compile(r"\s*[01](?:px)?\s*")


def plain_text(html: str) -> str:
    """
    The text of a page.

    Returns:
        lines that end in LF, the last one too; empty where the page says nothing.
    """
    reader = _Reader()
    for token in _TOKEN.finditer(html):
        if token["data"]:
            reader.data(token[0])
        elif token["tag"]:
            reader.tag(token["tag"].lower(), token["attributes"], closing=bool(token["slash"]))
    return reader.text()


@attrs.define
class _Lines:
    """Lines under construction: white space is one space, and between two blocks is at most one empty line."""

    done: list[str] = attrs.field(factory=list)
    line: list[str] = attrs.field(factory=list)
    """Pieces of the line that is being written."""
    gap: int = 0
    """Line ends that are due before the next word."""
    before: str = ""
    """What the next word is preceded by: the mark of a list's item."""

    def words(self, text: str, *, verbatim: bool = False) -> None:
        if not self.line:
            if not text.strip(" "):
                return
            self._begin()
            text = self.before + (text if verbatim else text.lstrip(" "))
            self.before = ""
        elif not verbatim and self.line[-1].endswith(" "):
            text = text.lstrip(" ")
        if text:
            self.line.append(text)

    def end(self, gap: int) -> None:
        """The line ends; `gap` is 1 for a new line, 2 for an empty one between."""
        if self.line:
            self.done.append("".join(self.line).rstrip(" "))
            self.line.clear()
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


class _Reader:
    """Reads a page from its beginning to its end."""

    def __init__(self) -> None:
        self._lines = _Lines()
        self._skipped: str | None = None
        self._skip_depth = 0
        self._link: str | None = None
        self._lists: list[int | None] = []
        self._pre = 0
        self._written: list[str] = []

    def text(self) -> str:
        """What was read."""
        self._end_link()
        self._lines.end(1)
        return "\n".join([*self._lines.done, ""])

    def tag(self, name: str, attributes: str, *, closing: bool) -> None:
        """Take a tag; what stands in an element that is not text is skipped to its end."""
        if self._skipped is not None:
            if name == self._skipped:
                self._skip_depth += -1 if closing else 1
                self._skipped = self._skipped if self._skip_depth else None
        elif closing:
            self._close(name)
        elif name not in VOID and (name in LEFT_OUT or _is_hidden(attributes)):
            if not attributes.endswith("/"):
                self._skipped, self._skip_depth = name, 1
        else:
            self._open(name, attributes)

    def data(self, data: str) -> None:
        """Text between two tags."""
        if self._skipped is not None:
            return
        data = _INVISIBLE.sub("", _unescaped(data))
        if not self._pre:
            self._say(_SPACE.sub(" ", data))
            return
        first, *others = data.replace("\r\n", "\n").replace("\xa0", " ").split("\n")
        self._lines.words(first, verbatim=True)
        for line in others:
            self._lines.end_once_more(10)
            self._lines.words(line, verbatim=True)

    def _close(self, name: str) -> None:
        if name == "a":
            self._end_link()
        elif name in ("ul", "ol") and self._lists:
            self._lists.pop()
        elif name == "pre":
            self._pre = max(0, self._pre - 1)
        elif name in CELLS:
            self._say(" ")
        self._break(name)

    def _open(self, tag: str, attributes: str) -> None:
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
                self._written.clear()
                self._link = "".join(_given(attributes).get("href", "").split())
            case "img":
                given = _given(attributes)
                if not (_TINY.fullmatch(given.get("width", "")) or _TINY.fullmatch(given.get("height", ""))):
                    self._say(_SPACE.sub(" ", given.get("alt", "")).strip())

    def _mark(self) -> str:
        indent = "  " * (min(len(self._lists), MAX_INDENT) - 1)
        number = self._lists[-1] if self._lists else None
        if number is None:
            return f"{indent}- "
        self._lists[-1] = number + 1
        return f"{indent}{number}. "

    def _end_link(self) -> None:
        if self._link is None:
            return
        url, self._link = self._link, None
        shown = "".join(self._written).strip()
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
            self._lines.end(1 if tag in ("ul", "ol") and self._lists else 2)
        elif tag in BLOCKS:
            self._lines.end(1)


def _given(attributes: str) -> dict[str, str]:
    found = _ATTRIBUTE.findall(attributes)
    return {
        name.lower(): _unescaped(value[1:].rstrip(value[0]) if value[:1] in ("'", '"') else value)
        for name, value in found
    }


def _unescaped(text: str) -> str:
    """The text with its character references read; the standard library's reader raises where one has 4,301 digits."""
    return unescape(_NUMBER.sub(lambda found: f"&#{found[1].lstrip('0')[:8] or 0};", text))


def _is_hidden(attributes: str) -> bool:
    if "hidden" not in attributes and "none" not in attributes.lower():
        return False
    given = _given(attributes)
    return "hidden" in given or bool(_HIDDEN.search(given.get("style", "")))
