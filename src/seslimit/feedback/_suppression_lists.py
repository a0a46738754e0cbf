"""Which list of suppressed addresses a name means; each kind is imported when it is named."""

from __future__ import annotations

from .._model.errors import ConfigurationError
from ._suppression import Suppression


def suppression_from_url(where: str) -> Suppression:
    """
    A list by its name: `ses://REGION` for the account's own, a database's URL, or a file.

    Raises:
        ConfigurationError: the URL is wrong, or an extra is missing.
    """
    scheme, separator, _ = where.partition("://")
    if not separator:
        from ._suppression_file import SuppressionFile

        return SuppressionFile(where)
    if scheme == "ses":
        from ._suppression_account import AccountSuppression

        return AccountSuppression.from_url(where)
    raise ConfigurationError(f"{scheme}:// names no suppression list: give a file, or ses://REGION.")
