"""
A list as a table, and one template for all of its messages: each row of a CSV becomes a message.

Decides what a value may do: in the text it is text (and in HTML, escaped), in a header it is a part of one word, in an
address header a name or an address. Whatever a column holds, it adds no header and no recipient.

The template is Jinja2's in its sandbox; a name that is no column is an error, not an empty place in the letter.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from .._composing.records import Records
from .._model.errors import ConfigurationError, InvalidMessage, printable
from .._model.message import Message
from ._attached import AttachedFiles
from ._inputs import BadEntry, Entry, Input, Reading, Ready

try:
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment
except ModuleNotFoundError as error:
    if error.name != "jinja2":
        raise
    raise ConfigurationError("--template needs the package jinja2: run  pip install 'seslimit[template]'.") from None

LISTS = {"to": "to", "cc": "cc", "bcc": "bcc", "reply-to": "reply_to"}
"""Headers of several mailboxes, and the field of a record that has them."""

SEPARATORS = ",;\t"
"""Between columns, as spreadsheets write them; the one that the first line has most of."""

NESTED = 10
"""Macros in macros whose values are put in; what is deeper is refused as the control character that it then is."""

_HEADER = re.compile(r"([!-9;-~]+):[ \t]*(.*)", re.DOTALL)
_TOKEN = re.compile("\x02([0-9]+)\x03")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_MAILBOX = re.compile(r"(?P<name>[^<>]*)<(?P<address>[^<>]*)>\s*")
_PARTS = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*")+')


class _Values:
    """
    What a template writes into a header, kept apart from the template's own words until these have been read.

    A value stands as a token in the header; so a comma in a value parts no mailboxes, and a bracket makes no address.
    """

    def __init__(self) -> None:
        self._values: list[str] = []

    def begin(self) -> None:
        self._values.clear()

    @jinja2.pass_context  # with a context, Jinja asks at the time of writing, and never while it compiles
    def token(self, _: jinja2.runtime.Context, value: object) -> str:
        self._values.append(str(value))
        return f"\x02{len(self._values) - 1}\x03"

    def put(self, text: str) -> str:
        """A header's text with its values; those of a macro may hold others."""
        for _ in range(NESTED):
            text = _TOKEN.sub(lambda token: self._values[int(token[1])], text)
        if _CONTROL.search(text):
            raise InvalidMessage("a value holds a line break or another control character, which no header may.")
        return text


@attrs.frozen(eq=False)
class Template:
    """
    A message with places for the columns of a row.

    Args:
        headers: their names, and templates of their values.
        body: the template of the text, or of HTML.
        is_html: which of them.
    """

    headers: tuple[tuple[str, jinja2.Template], ...]
    body: jinja2.Template
    is_html: bool
    _values: _Values

    @classmethod
    def read(cls, path: Path) -> Template:
        """
        Read a template: headers, an empty line, the text.

        Raises:
            ConfigurationError: it cannot be read, or is no template of a message.
        """
        try:
            source = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8"
            raise ConfigurationError(f"the template {printable(str(path))} cannot be read: {reason}.") from None
        head, _, body = source.partition("\n\n")
        fields = _fields(path, head)
        kinds = [value for name, value in fields if name.lower() == "content-type"]
        is_html = any(kind.strip().lower().startswith("text/html") for kind in kinds)
        values = _Values()
        heads = _environment(finalize=values.token)
        try:
            headers = tuple(
                (name, heads.from_string(value)) for name, value in fields if name.lower() != "content-type"
            )
            text = _environment(autoescape=is_html).from_string(body)
        except jinja2.TemplateSyntaxError as error:
            raise ConfigurationError(f"the template {printable(str(path))} is none: {error.message}.") from None
        return cls(headers, text, is_html, values)

    def record(self, row: Mapping[str, str]) -> dict[str, Any]:
        """
        The message of one row, as the fields of a line of a `.jsonl`.

        Raises:
            InvalidMessage: a name of the template is no column, or a value cannot stand where it is to stand.
        """
        record: dict[str, Any] = {"html" if self.is_html else "text": _rendered(self.body, row)}
        for name, template in self.headers:
            self._values.begin()
            text = _rendered(template, row).strip()
            if text:
                self._set(record, name, text)
        return record

    def _set(self, record: dict[str, Any], name: str, text: str) -> None:
        low = name.lower()
        try:
            if low in LISTS:
                record.setdefault(LISTS[low], []).extend(self._mailbox(part) for part in _PARTS.findall(text))
            elif low in ("from", "subject"):
                record[low] = self._mailbox(text) if low == "from" else self._values.put(text)
            else:
                words = [value for value in _TOKEN.findall(text) if low.startswith("list-")]
                for word in words:
                    _check_word(self._values.put(f"\x02{word}\x03"), "<>, \t")
                record.setdefault("headers", {})[name] = self._values.put(text)
        except InvalidMessage as error:
            raise InvalidMessage(f"in {name}, {error}") from None

    def _mailbox(self, text: str) -> str:
        found = _MAILBOX.fullmatch(text.strip())
        address = self._values.put(found["address"] if found else text).strip()
        _check_word(address, '<>,;:"() \t')
        name = self._values.put(_unquoted(found["name"].strip())).strip() if found else ""
        if not name:
            return address
        escaped = name.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}" <{address}>'


def _check_word(text: str, apart: str) -> None:
    if any(character in apart for character in text):
        raise InvalidMessage(f"{printable(text)!r} is more than one address or link: a column has one.")


def _unquoted(name: str) -> str:
    return re.sub(r"\\(.)", r"\1", name[1:-1]) if len(name) > 1 and name[0] == name[-1] == '"' else name


def _fields(path: Path, head: str) -> list[tuple[str, str]]:
    """The headers of a template, continued lines joined."""
    fields: list[tuple[str, str]] = []
    for number, line in enumerate(head.split("\n"), 1):
        if fields and line[:1] in (" ", "\t"):
            fields[-1] = (fields[-1][0], f"{fields[-1][1]} {line.strip()}")
            continue
        found = _HEADER.fullmatch(line)
        if found is None:
            raise ConfigurationError(
                f"line {number} of the template {printable(str(path))} is no header ({printable(line)!r}): a template "
                "begins with From, To and Subject, and an empty line parts them from the text."
            )
        fields.append((found[1], found[2]))
    return fields


def _environment(**options: Any) -> jinja2.Environment:
    return ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, **options)


def _rendered(template: jinja2.Template, row: Mapping[str, str]) -> str:
    try:
        return template.render({**{name: value for name, value in row.items() if name.isidentifier()}, "row": row})
    except jinja2.UndefinedError as error:
        raise InvalidMessage(f"the template needs what is no column ({printable(str(error))}).") from None
    except InvalidMessage:
        raise
    except Exception as error:  # noqa: BLE001  # a filter of the template's may raise anything for a value
        raise InvalidMessage(f"the template fails for it: {printable(f'{type(error).__name__}: {error}')}.") from None


def table_input(name: str, template: Template) -> Input:
    """
    A CSV whose rows are messages.

    Raises:
        ConfigurationError: it is not there, or has no row of names.
    """
    path = Path(name)
    try:
        with _opened(path) as file:
            first = file.readline()
    except OSError as error:
        raise ConfigurationError(f"{printable(name)} cannot be read: {error.strerror or error}.") from None
    if first.lstrip().startswith("{"):
        raise ConfigurationError(f"{printable(name)} holds JSON lines, which are messages: leave --template out.")
    separator = max(SEPARATORS, key=first.count)
    try:
        columns = next(csv.reader([first], delimiter=separator, strict=True), [])
    except csv.Error as error:
        raise ConfigurationError(f"the first line of {printable(name)} is no CSV ({error}): correct it.") from None
    twice = [column for column in columns if columns.count(column) > 1]
    if not all(columns) or not columns or twice:
        fault = f"the column {printable(twice[0])!r} is there twice" if any(twice) else "a column has no name"
        raise ConfigurationError(
            f"the first line of {printable(name)} has to name the columns, and {fault}: write, for example, email,name."
        )
    return Input(str(path), lambda reading: Ready(_rows(reading, path, separator, columns, template)))


def _opened(path: Path) -> Any:
    return path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")


def _rows(reading: Reading, path: Path, separator: str, columns: list[str], template: Template) -> Iterator[Entry]:
    records = Records(AttachedFiles(path.parent))
    with _opened(path) as file:
        rows = csv.reader(file, delimiter=separator, strict=True)
        next(rows)
        while True:
            place = f"{path.name}:{rows.line_num + 1}"
            try:
                cells = next(rows, None)
            except csv.Error as error:
                yield BadEntry(place, f"the line is no CSV ({error}): correct it.")
                return  # where a quotation mark is missing, nothing after it is what it seems
            if cells is None:
                return
            if cells:
                yield _entry(reading, records, template, place, columns, cells)


def _entry(
    reading: Reading, records: Records, template: Template, place: str, columns: list[str], cells: list[str]
) -> Entry:
    def make() -> Message:
        if len(cells) != len(columns):
            count = "one column" if len(cells) == 1 else f"{len(cells)} columns"
            raise InvalidMessage(f"the line has {count}, and the first one {len(columns)}: correct it.")
        if any("\x02" in cell or "\x03" in cell for cell in cells):
            raise InvalidMessage("a value holds a control character: take it away.")
        if any("\udc80" <= character <= "\udcff" for cell in cells for character in cell):
            raise InvalidMessage("the line is not UTF-8: save the file as UTF-8.")
        record = template.record(dict(zip(columns, cells, strict=True)))
        return records.message(json.dumps({"key": key, **record}).encode(), place)

    found = dict(zip(columns, cells, strict=False))
    key = found.get("key") or place
    return reading.entry(key, place, "\0".join(cells), make)
