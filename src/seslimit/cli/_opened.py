"""Outboxes as the command line opens them: one that is looked at or worked on is there, one that is filled is made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .._model.errors import ConfigurationError, printable

if TYPE_CHECKING:
    from ..outbox import Outbox


def file_of(where: str) -> Path | None:
    """The file of an outbox; None where it is a database elsewhere."""
    path = where.removeprefix("sqlite+aiosqlite:///").removeprefix("sqlite:///")
    return None if "://" in path else Path(path)


def existing(where: str) -> Outbox:
    """
    An outbox that is there.

    Raises:
        ConfigurationError: it is not, or is no outbox.
    """
    box, file = filled(where), file_of(where)
    if file is not None and not file.exists():
        raise ConfigurationError(f"{printable(where)} is not there: check the path.")
    if file is not None and not file.stat().st_size:
        raise ConfigurationError(f"{printable(where)} is an empty file, not an outbox: check the path.")
    return box


def filled(where: str) -> Outbox:
    """
    An outbox, made where it is not there.

    Raises:
        ConfigurationError: something else stands there.
    """
    from ..outbox import Outbox

    file = file_of(where)
    if file is not None and file.exists() and not file.is_file():
        kind = "a folder" if file.is_dir() else "no file"
        raise ConfigurationError(f"{printable(where)} is {kind}, and an outbox is a file: give the path of one.")
    return Outbox(where)
