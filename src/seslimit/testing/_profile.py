"""
A profile: how one account's service was found to count and to treat its sessions, as a file that the simulator takes.

Decides what such a file may say. `seslimit doctor --measure` writes one; by hand it is as easy.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

import attrs

from .._model.errors import ConfigurationError
from ._counting import CountingSpec

_SECTIONS: Final[Mapping[str, Mapping[str, type]]] = {
    "": {"rate": float, "max_24_hour_send": float},
    "smtp": {"idle_timeout": float, "session_cap": int, "max_connections": int},
    "api": {"idle_timeout": float, "session_cap": int, "max_connections": int},
}
"""Section → its keys and their kinds; `counting` has those of its kind."""

_PREFIX: Final[Mapping[str, str]] = {"": "", "smtp": "", "api": "api_"}
"""Section → how the names of its attributes begin."""


@attrs.frozen(kw_only=True)
class Profile:
    """
    What a simulator needs to behave as an account did.

    Args:
        rate: recipients/s.
        counting: how they are counted.
        max_24_hour_send: recipients in 24 hours; None for no quota.
        idle_timeout: seconds after which a silent SMTP session is closed; None where it is not known.
        session_cap: messages in one SMTP session; None for no cap, or where it is not known.
        max_connections: SMTP connections at a time; None for no cap, or where it is not known.
        api_idle_timeout, api_session_cap, api_max_connections: the same of the API: seconds, requests, connections.

    Raises:
        ConfigurationError: a figure is not above 0.
    """

    rate: float
    counting: CountingSpec = attrs.field(factory=CountingSpec)
    max_24_hour_send: float | None = None
    idle_timeout: float | None = None
    session_cap: int | None = None
    max_connections: int | None = None
    api_idle_timeout: float | None = None
    api_session_cap: int | None = None
    api_max_connections: int | None = None

    def __attrs_post_init__(self) -> None:
        names = {"rate": self.rate, **self.habits("smtp"), **{f"api_{a}": b for a, b in self.habits("api").items()}}
        for name, value in names.items():
            if not 0 < value < float("inf"):
                raise ConfigurationError(f"{name} of a profile is above 0, not {value:g}.")

    def habits(self, door: Literal["smtp", "api"]) -> dict[str, Any]:
        """What is known of a door's connections: name → figure."""
        found = {name: getattr(self, _PREFIX[door] + name) for name in _SECTIONS[door]}
        return {name: value for name, value in found.items() if value is not None}

    @classmethod
    def read(cls, path: Path | str) -> Profile:
        """
        The profile in a file.

        Raises:
            ConfigurationError: the file cannot be read, is no TOML, or says what no profile says.
        """
        try:
            return cls.parse(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            words = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise ConfigurationError(f"the profile {path} cannot be read: {words}.") from None
        except ConfigurationError as error:
            raise ConfigurationError(f"the profile {path}: {error}") from None

    @classmethod
    def parse(cls, text: str) -> Profile:
        """
        The profile in a text in TOML.

        Raises:
            ConfigurationError: it is none.
        """
        try:
            tables = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise ConfigurationError(f"it is not TOML: {error}.") from None
        counting, smtp, api = (_table(tables, name) for name in ("counting", "smtp", "api"))
        figures = _figures("", tables) | _figures("smtp", smtp) | _figures("api", api)
        if "rate" not in figures:
            raise ConfigurationError("it has no rate.")
        kind = counting.pop("kind", "bucket")
        if not isinstance(kind, str) or not all(_is_number(value) for value in counting.values()):
            raise ConfigurationError("[counting] has a kind, which is a text, and figures.")
        return cls(counting=CountingSpec(kind, counting), **figures)

    def toml(self, notes: Mapping[str, str] | None = None) -> str:
        """
        The text of the file.

        Args:
            notes: what to write behind a figure: its name (`counting` for the kind, `api_…` for the API's) → one line.
        """
        noted = notes or {}
        doors = [line for door in ("smtp", "api") for line in self._lines(door, noted)]
        return "\n".join([*self._lines("", noted), "", *self._counting(noted), *doors, ""])

    def _lines(self, section: str, notes: Mapping[str, str]) -> list[str]:
        lines = []
        for name in _SECTIONS[section]:
            attribute = _PREFIX[section] + name
            value = getattr(self, attribute)
            stated = f"# {name} =" if value is None else f"{name} = {value!r}"
            if value is not None or attribute in notes:
                lines.append(stated + _comment(notes.get(attribute)))
        return ["", f"[{section}]", *lines] if section and lines else lines

    def _counting(self, notes: Mapping[str, str]) -> list[str]:
        kind = f'kind = "{self.counting.kind}"' + _comment(notes.get("counting"))
        figures = [f"{name} = {value!r}{_comment(notes.get(name))}" for name, value in self.counting.figures.items()]
        return ["[counting]", kind, *figures]


def _table(tables: dict[str, Any], name: str) -> dict[str, Any]:
    table = tables.pop(name, {})
    if not isinstance(table, dict):
        raise ConfigurationError(f"{name} is a table: write [{name}].")
    return table


def _figures(section: str, table: Mapping[str, Any]) -> dict[str, Any]:
    known = _SECTIONS[section]
    figures = {}
    for name, value in table.items():
        if name not in known:
            raise ConfigurationError(f"there is no {name!r} in it: {', '.join(known)}.")
        if not _is_number(value) or (known[name] is int and value != int(value)):
            raise ConfigurationError(f"{name} is a {'whole ' if known[name] is int else ''}number.")
        figures[_PREFIX[section] + name] = known[name](value)
    return figures


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value and abs(value) < 1e18


def _comment(note: str | None) -> str:
    return f"  # {' '.join(note.split())}" if note else ""
