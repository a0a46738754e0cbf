"""
Numbers that somebody set: each is checked where it is taken in, and one sentence names it, its range and its unit.

One way for every option of the library, so that all of them raise the same error.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import attrs

from .errors import ConfigurationError, printable


def number(name: str, value: object, unit: str, *, low: float, high: float = math.inf, above: bool = False) -> float:
    """
    A number that is in its range.

    Args:
        name: of the option, for the sentence of the error.
        value: what was given: anything that is a number, as `int`, `float`, `Decimal` or `Fraction`; not a bool.
        unit: what it counts, for the sentence.
        low: the least it may be.
        high: the most it may be.
        above: whether `low` itself is too low.

    Raises:
        ConfigurationError: it is no number, or out of the range.
    """
    try:
        given = math.nan if isinstance(value, str | bytes | bool) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        given = math.nan
    if low <= given <= high and not (above and given == low):
        return given
    begin = f"above {low:g}" if above else f"at least {low:g}"
    end = "" if math.isinf(high) else f" and at most {high:,g}"
    raise ConfigurationError(f"{name} is {shown(value)}: it is {unit}, {begin}{end}.")


def whole(name: str, value: object, unit: str, *, low: int, high: float = math.inf) -> int:
    """A whole number that is in its range; see `number`."""
    given = number(name, value, unit, low=low, high=high)
    if math.isinf(given) or given != int(given):
        raise ConfigurationError(f"{name} is {shown(value)}: it is {unit}, a whole number.")
    return int(given)


def having(name: str, value: object, method: str, advice: str) -> None:
    """
    Check that an option is an object of its kind, where its absence would show only in the middle of sending.

    Args:
        name: of the option.
        value: what was given; None passes.
        method: what every object of that kind has.
        advice: what to give, for the sentence.

    Raises:
        ConfigurationError: it has no such method.
    """
    if value is not None and not callable(getattr(value, method, None)):
        raise ConfigurationError(f"{name} is {shown(value)}: give {advice}.")


def shown(value: object) -> str:
    """A value as it is named in a sentence, on one line."""
    try:
        return printable(repr(value))
    except ValueError:  # more digits than Python writes
        return "a number of thousands of digits"


def numeric(unit: str, *, low: float, high: float = math.inf, above: bool = False, optional: bool = False) -> Any:
    """An attrs validator for a number that is in its range; see `number`. With `optional`, None passes."""

    def check(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if not (optional and value is None):
            number(attribute.name, value, unit, low=low, high=high, above=above)

    return check


def one_of(*words: str) -> Callable[[object, attrs.Attribute[Any], object], None]:
    """An attrs validator for one of a few words."""

    def check(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if value not in words:
            listed = " or ".join(repr(word) for word in words)
            raise ConfigurationError(f"{attribute.name} is {shown(value)}: it is {listed}.")

    return check
