"""
One line of a `.jsonl` file as a record: JSON, an object, and nothing in it that could be lost or could not be written.

It must not know what the fields mean, but for `key`, which is read alone where a message is only named.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any, NoReturn

from .._model.errors import InvalidMessage, printable

MAX_DIGITS = 100
"""Digits of a whole number: it can only be a key. Python itself refuses 4,301, and says so with a ValueError."""

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def record_of(line: bytes) -> dict[str, Any]:
    """
    The object in one line.

    Raises:
        InvalidMessage: it is none, a field is there twice, or it holds what cannot be written: half of a surrogate
            pair other than in the key, which is not sent, or a number without end.
    """
    try:
        record = _DECODER.decode(line.decode("utf-8"))
    except UnicodeDecodeError:
        raise InvalidMessage("the line is not UTF-8: save the file as UTF-8.") from None
    except json.JSONDecodeError as error:
        raise InvalidMessage(f"the line is not JSON ({error.msg}, column {error.colno}): correct it.") from None
    except RecursionError:
        raise InvalidMessage("the line is nested too deeply: write one flat JSON object.") from None
    if not isinstance(record, dict):
        raise InvalidMessage("the line is not a JSON object: write {…} with from, to, subject and text.")
    if _SURROGATE.search(line):
        _check_pairs(record)
    return record


def _check_pairs(record: dict[str, Any]) -> None:
    for name, value in record.items():
        try:
            json.dumps({name: None if name == "key" else value}, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError as error:
            half = ascii(error.object[error.start])
            raise InvalidMessage(
                f"the field '{printable(name)}' holds half of a surrogate pair ({half}): write the whole character."
            ) from None


def key_in(record: dict[str, Any], default_key: str) -> str | int:
    """
    What a report calls the message.

    Raises:
        InvalidMessage: `key` is there and is no name.
    """
    key = record.get("key", default_key)
    if isinstance(key, bool) or not isinstance(key, str | int):
        raise InvalidMessage("key is neither a text nor a whole number: correct it or leave it out.")
    return key


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise InvalidMessage(f"the field {printable(twice)!r} is there twice: remove one of them.")
    return record


def _whole(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise InvalidMessage(f"a number has {len(digits):,} digits: write at most {MAX_DIGITS}, or a text.")
    return int(digits)


def _no_number(constant: str) -> NoReturn:
    raise InvalidMessage(f"the line is not JSON ({constant} is no number of it): correct it.")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_whole, parse_constant=_no_number)
