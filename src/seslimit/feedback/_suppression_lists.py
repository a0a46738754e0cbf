"""Which list of suppressed addresses a name means; each kind is imported when it is named."""

from __future__ import annotations

from pathlib import Path

from .._model.errors import ConfigurationError
from ._suppression import Suppression

_SQLITE = b"SQLite format 3\0"
"""How a file of SQLite begins. Source: SQLite, "Database File Format", read 2026-11."""


def suppression_from_url(where: str) -> Suppression:
    """
    A list by its name: `ses://REGION` for the account's own, a database's URL, or a file.

    Raises:
        ConfigurationError: the URL is wrong, or an extra is missing.
    """
    scheme, separator, _ = where.partition("://")
    if scheme.partition("+")[0] in ("sqlite", "postgres", "postgresql") or _is_database(where):
        from ..outbox import Outbox
        from ._outbox import OutboxSuppression

        return OutboxSuppression(Outbox(where))
    if not separator:
        from ._suppression_file import SuppressionFile

        return SuppressionFile(where)
    if scheme == "ses":
        from ._suppression_account import AccountSuppression

        return AccountSuppression.from_url(where)
    raise ConfigurationError(f"{scheme}:// names no suppression list: give a file, a database, or ses://REGION.")


def _is_database(where: str) -> bool:
    """Whether it is the name of a file that SQLite has made."""
    try:
        with Path(where).open("rb") as file:
            return file.read(len(_SQLITE)) == _SQLITE
    except (OSError, ValueError):
        return False
