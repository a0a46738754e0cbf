"""`seslimit examples`: set-ups to begin from, which come with the package."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from .._model.errors import ConfigurationError, printable

_INSTALLED = Path(__file__).parent.parent / "_examples"
_IN_REPOSITORY = Path(__file__).parents[3] / "examples"
_LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")


def _source() -> Path:
    """Where they are: in an installed package, or in the repository that an editable one leads to."""
    return _INSTALLED if _INSTALLED.is_dir() else _IN_REPOSITORY


def listed() -> Iterator[str]:
    """A line for each, and how to have them."""
    for path in sorted(_source().iterdir()):
        if path.is_dir() and not path.name.startswith((".", "_")):
            yield path.name
    yield "seslimit examples FOLDER writes them there."


def written(folder: Path) -> Iterator[str]:
    """
    Write all of them into a folder.

    Raises:
        ConfigurationError: it holds something already, or cannot be written.
    """
    try:
        if folder.exists() and any(folder.iterdir()):
            raise ConfigurationError(f"{printable(str(folder))} is not empty: name a new folder.")
        shutil.copytree(_source(), folder, dirs_exist_ok=True, ignore=_LEFT_OUT)
    except OSError as error:
        raise ConfigurationError(f"{printable(str(folder))} cannot be written: {error.strerror or error}.") from None
    yield f"written to {printable(str(folder))}"
