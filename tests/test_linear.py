"""
Time grows with the length of what is read, and no faster: for every regular expression, and for what is built on them.

The expressions are found, not listed, so that a new one is attacked too. What they are attacked with is made from their
own parts: one piece that they repeat, very often, and then something that they cannot end with. Time is the processor's
own, so that a busy machine does not count.

Source:
    OWASP, "Regular expression Denial of Service": repetition inside repetition, or beside one that takes the same.
"""

from __future__ import annotations

import ast
import importlib
import json
import pkgutil
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import seslimit
from seslimit import InvalidMessage
from seslimit._composing.header import header_line
from seslimit._meaning import replies
from seslimit.companion.listmonk import _content, _post
from seslimit.companion.listmonk._content import compose
from seslimit.companion.listmonk._headers import Rules
from seslimit.companion.listmonk._plain_text import plain_text

pytestmark = pytest.mark.once

sre: Any = importlib.import_module("re._constants")  # typeshed knows nothing of these two
sre_parse: Any = importlib.import_module("re._parser")

SOURCE = Path(seslimit.__file__).parent
LENGTH = 50_000
"""Characters of an attack: quadratic time takes some seconds for so many, linear time some milliseconds."""
BUDGET = 1.0
"""Seconds of processor time that an attack may take: on a busy machine, all is several times slower."""
METHODS = frozenset({"match", "fullmatch", "search", "sub", "subn", "split", "findall", "finditer"})


@contextmanager
def _limited(what: str, seconds: float = BUDGET) -> Iterator[None]:
    """End what takes more processor time than it may, even inside a regular expression, which looks for signals."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise AssertionError(f"{what}: more than {seconds} s of processor time")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _modules() -> Iterator[Any]:
    for found in pkgutil.walk_packages([str(SOURCE)], "seslimit."):
        if not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


def _used(module: Any, name: str) -> set[str]:
    """The methods by which a module uses one of its expressions."""
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == name
    } & METHODS


def _expressions() -> Iterator[tuple[str, re.Pattern[Any], str]]:
    """Every expression, with the method by which it is used; fullmatch where it is handed on, as the checks do."""
    for module in _modules():
        for name, value in vars(module).items():
            if type(value) is re.Pattern:  # Django's settings would be read to be asked what they are
                for method in sorted(_used(module, name)) or ["fullmatch"]:
                    yield f"{module.__name__.removeprefix('seslimit.')}.{name}.{method}", value, method
    for door in (replies.SMTP, replies.API):
        for number, row in enumerate(door):
            yield f"_meaning.replies.row {number}.code", row.code, "fullmatch"
            yield f"_meaning.replies.row {number}.text", row.text, "search"


EXPRESSIONS = {name: (pattern, method) for name, pattern, method in _expressions()}


def _shortest(tree: Any, groups: dict[int | None, str]) -> str:
    """One text that a part of an expression matches: each repetition as seldom as it may, but once."""
    return "".join(_shortest_piece(kind, given, groups) for kind, given in tree)


def _shortest_piece(kind: Any, given: Any, groups: dict[int | None, str]) -> str:
    match kind:
        case sre.LITERAL:
            return chr(int(given))
        case sre.NOT_LITERAL:
            return "a" if given != ord("a") else "b"
        case sre.ANY:
            return "a"
        case sre.IN:
            return "".join(_members(given)[:1]) or "a"
        case sre.BRANCH:
            return _shortest(given[1][0], groups)
        case sre.SUBPATTERN:
            groups[given[0]] = _shortest(given[3], groups)
            return groups[given[0]]
        case sre.ATOMIC_GROUP:
            return _shortest(given, groups)
        case sre.MAX_REPEAT | sre.MIN_REPEAT | sre.POSSESSIVE_REPEAT:
            return _shortest(given[2], groups) * int(max(given[0], 1))
        case sre.GROUPREF:
            return groups.get(given, "")
    return ""


def _members(given: Any) -> list[str]:
    """Characters of a class: white space, a letter, a digit, a mark, and what it names."""
    found = re.compile(_class_source(given))
    named = [chr(value) for kind, value in given if kind is sre.LITERAL]
    named += [chr(value[0]) for kind, value in given if kind is sre.RANGE]
    return [each for each in [" ", "a", "0", "-", ".", '"', "\\", "<", *named] if found.fullmatch(each)]


def _class_source(given: Any) -> str:
    source = ""
    for kind, value in given:
        if kind is sre.NEGATE:
            source += "^"
        elif kind is sre.LITERAL:
            source += re.escape(chr(value))
        elif kind is sre.RANGE:
            source += f"{re.escape(chr(value[0]))}-{re.escape(chr(value[1]))}"
        elif kind is sre.CATEGORY:
            source += {
                sre.CATEGORY_SPACE: r"\s",
                sre.CATEGORY_NOT_SPACE: r"\S",
                sre.CATEGORY_DIGIT: r"\d",
                sre.CATEGORY_NOT_DIGIT: r"\D",
                sre.CATEGORY_WORD: r"\w",
                sre.CATEGORY_NOT_WORD: r"\W",
            }[value]
    return f"[{source}]"


def _attacks(tree: Any, before: str = "") -> Iterator[tuple[str, str]]:
    """What stands before a repetition, and what it repeats: each character of a class, or a whole group."""
    for kind, given in tree:
        if kind in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
            inner = given[2]
            if given[1] == sre.MAXREPEAT:
                first, argument = inner[0]
                singles = _members(argument) if len(inner) == 1 and first is sre.IN else []
                for piece in singles or [_shortest(inner, {})]:
                    yield before, piece
            yield from _attacks(inner, before)
        elif kind is sre.SUBPATTERN:
            yield from _attacks(given[3], before)
        elif kind is sre.ATOMIC_GROUP:
            yield from _attacks(given, before)
        elif kind is sre.BRANCH:
            for branch in given[1]:
                yield from _attacks(branch, before)
        before += _shortest([(kind, given)], {})


def _texts(pattern: re.Pattern[Any]) -> Iterator[str]:
    source = pattern.pattern.decode("latin-1") if isinstance(pattern.pattern, bytes) else pattern.pattern
    tree = sre_parse.parse(source, pattern.flags & ~re.UNICODE)
    whole = _shortest(tree, {})
    found = {*_attacks(tree), ("", " "), ("", "a"), ("", whole)}
    for before, piece in sorted(found):
        if piece:
            for after in ("", "\x00", "a\n!", "\r!"):
                yield before + piece * (LENGTH // len(piece)) + after
    # The beginning again and again: each may be where a search begins.
    for before in sorted({before for before, _ in found if before}):
        yield before * (LENGTH // len(before))


def _run(pattern: re.Pattern[Any], method: str, text: str) -> None:
    subject: Any = text.encode("latin-1") if isinstance(pattern.pattern, bytes) else text
    if method in ("sub", "subn"):
        pattern.sub(subject[:0], subject)
    elif method == "finditer":
        for _ in pattern.finditer(subject):
            pass
    else:
        getattr(pattern, method)(subject)


def _attack(name: str, pattern: re.Pattern[Any], method: str) -> None:
    for text in _texts(pattern):
        with _limited(f"{name} of {text[:40]!r}…{text[-10:]!r}"):
            _run(pattern, method, text)


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_an_expression_takes_time_that_grows_with_its_input_only(name: str) -> None:
    """50,000 characters of whatever it repeats take milliseconds; quadratic time would take seconds."""
    _attack(name, *EXPRESSIONS[name])


def test_every_expression_has_a_name_by_which_it_is_found() -> None:
    """None is written where it is used, but for those that read a few characters of a reply."""
    unnamed = [
        f"{path.relative_to(SOURCE)}: {ast.unparse(node)}"
        for path in sorted(SOURCE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "re"
        and node.func.attr in METHODS
        and any(mark in ast.unparse(node.args[0]) for mark in ("*", "+", ",}"))
    ]
    assert unnamed == []


@pytest.mark.parametrize(
    "pattern",
    [r"(?s)\s*(?:<!--.*?-->\s*)*<html", r"\{\{\s*([^{}]*?)\s*\}\}", r"\s*[^:]*:", r"(a+)+b", r"<>(?:\s+(.*))?"],
)
def test_an_expression_that_is_not_linear_is_found(pattern: str) -> None:
    """The attack finds repetition in repetition, and repetitions beside each other."""
    with pytest.raises(AssertionError, match="processor time"):
        _attack("it", re.compile(pattern), "fullmatch")


def _post_with(**fields: object) -> bytes:
    recipient = {"uuid": "3f0c7a52-9d1e-4b6f-8a37-c2e41d5b9f06", "email": "ada@example.net", "name": "Ada"}
    base = {"subject": "s", "from_email": "a@example.net", "content_type": "plain", "body": "b"}
    return json.dumps(base | {"recipients": [recipient], "campaign": None, "attachments": None} | fields).encode()


def _composed(body: bytes) -> None:
    with suppress(_post.BadPost):
        compose(_post.parse(body), Rules("https://lists.example.net"), "Thu, 01 Oct 2026 10:00:00 +0000")


def _with_header(value: str) -> bytes:
    campaign = {"uuid": "b81d2c94-6c1f-4f3e-9a75-20d6e8f7a413", "name": "n", "headers": [{"X-A": value}]}
    return _post_with(campaign=campaign)


def _written(header: tuple[str, str]) -> None:
    with suppress(InvalidMessage):
        header_line(*header)


READERS: dict[str, Callable[[int], Callable[[], object]]] = {
    "a post whose body is comments": lambda n: _prepared(_composed, _post_with(body="<!-- -->" * (n // 8))),
    "a post whose body is open comments": lambda n: _prepared(_composed, _post_with(body="<!--" * (n // 4))),
    "a post whose body is white space": lambda n: _prepared(_composed, _post_with(body=" " * n)),
    "a post with a page": lambda n: _prepared(_composed, _post_with(content_type="html", body="<a x='&#" * (n // 8))),
    "a post whose subject is long": lambda n: _prepared(_composed, _post_with(subject="ö " * (n // 2))),
    "a campaign's header": lambda n: _prepared(_composed, _with_header("{{" + " " * n + "x")),
    "a campaign's header of braces": lambda n: _prepared(_composed, _with_header("{{" * (n // 2))),
    "a sender of white space": lambda n: _prepared(_composed, _post_with(from_email=" " * n + "<")),
    "an address header of quotes": lambda n: _prepared(_written, ("Reply-To", '"' + 'a\\"' * (n // 48))),
    "an id of quotes": lambda n: _prepared(_written, ("List-ID", '"ä' + 'a\\"' * (n // 48))),
    "links of quotes": lambda n: _prepared(_written, ("List-Unsubscribe", '"' + 'a\\"' * (n // 48))),
    "addresses": lambda n: _prepared(_written, ("To", "a (b) <a@example.org>," * (n // 400))),
    "a page with a number": lambda n: _prepared(plain_text, "&#" + "9" * n),
    "a page with links": lambda n: _prepared(plain_text, "<a href=x>y " * (n // 12)),
}
"""Readers of what comes from outside, with what once was slow to read or might be."""


def _prepared(read: Callable[[Any], object], given: object) -> Callable[[], object]:
    return lambda: read(given)


def _seconds(read: Callable[[], object]) -> float:
    """The best of three: whatever else runs only adds to it."""
    times = []
    for _ in range(3):
        _content._text_of.cache_clear()
        began_at = time.process_time()
        with _limited("a reader", 20.0):
            read()
        times.append(time.process_time() - began_at)
    return min(times)


FLOOR = 0.02
"""Seconds below which the ratio of two times is the machine's mood; what is quadratic takes far longer at this size."""


@pytest.mark.parametrize("name", READERS)
def test_twice_the_input_takes_twice_the_time(name: str) -> None:
    """Up to nearly a megabyte; four times would be quadratic."""
    half, whole = (_seconds(READERS[name](length)) for length in (400_000, 800_000))
    assert whole < 3.5 * max(half, FLOOR)
