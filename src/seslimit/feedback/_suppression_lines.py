"""
The two forms of a suppression list in a file: a JSON object a line, or CSV that other programs write and read.

Decides what a line says, and how an address is written as one. It must not know of files.
"""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from .._model.errors import printable
from ._suppression import BY_HAND, SuppressedAddress, checked

MAX_LINE = 4096
"""Characters of a line: an address has 320 at most."""

_AS_CSV = (".csv", ".txt")
_COLUMNS = ("address", "reason", "at")
_ADDRESS_NAMES = ("address", "email", "emailaddress", "email_address")
_LONG_AGO = datetime.fromtimestamp(0, UTC)


class Form(Protocol):
    """How addresses are written, each as one line."""

    head: str
    """What a new file begins with; empty for nothing."""

    def line(self, entry: SuppressedAddress) -> str:
        """The line of an address, with its end."""
        ...

    def entry(self, line: str, number: int) -> SuppressedAddress | None:
        """
        What the line of that number, counted from 1, says; None where it says nothing.

        Raises:
            ValueError: it cannot be understood.
        """
        ...


class _JSON:
    head = ""

    def line(self, entry: SuppressedAddress) -> str:
        return json.dumps(entry.as_dict(), ensure_ascii=False) + "\n"

    def entry(self, line: str, number: int) -> SuppressedAddress | None:
        if not _says_something(line):
            return None
        try:
            told = json.loads(line)
        except (ValueError, RecursionError):
            raise ValueError("it is no JSON") from None
        if not isinstance(told, dict) or not isinstance(told.get("address"), str):
            raise ValueError("it has no address")
        reason = printable(told["reason"]) if isinstance(told.get("reason"), str) else ""
        return SuppressedAddress(checked(told["address"]), reason or BY_HAND, _time(told.get("at")))


class _CSV:
    head = ",".join(_COLUMNS) + "\n"

    def line(self, entry: SuppressedAddress) -> str:
        told, out = entry.as_dict(), io.StringIO()
        csv.writer(out, lineterminator="\n").writerow(" ".join(str(told[name]).split()) for name in _COLUMNS)
        return out.getvalue()

    def entry(self, line: str, number: int) -> SuppressedAddress | None:
        if not _says_something(line):
            return None
        address, reason, at, *_ = [*(cell.strip() for cell in next(csv.reader([line]))), "", "", ""]
        if number <= 1 and address.lower() in _ADDRESS_NAMES:
            return None
        return SuppressedAddress(checked(address), reason or BY_HAND, _time(at))


def form_of(path: Path) -> Form:
    """The form that a file of that name has."""
    return _CSV() if path.suffix.lower() in _AS_CSV else _JSON()


def _says_something(line: str) -> bool:
    if len(line) > MAX_LINE:
        raise ValueError("it is too long")
    return bool(line.strip())


def _time(value: object) -> datetime:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else _LONG_AGO
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    except ValueError:
        return _LONG_AGO
