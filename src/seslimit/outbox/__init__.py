"""
The outbox: nothing lost, nothing sent twice, and an exact account of who got it.

`Outbox` keeps messages, and what became of each recipient, in a SQLite file or a PostgreSQL database; `MemoryOutbox`
does as it does, for tests; `SQSQueue` is a queue that others fill. Each is what `Sender(outbox=…)` takes. `Outbox`
needs the extra: `pip install 'seslimit[outbox]'`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._model.errors import ConfigurationError
from .._model.journal import Journal, JournalError, JournalUnavailable, KeyReused, LeaseLost, Queued
from ._memory import MemoryOutbox
from ._values import Count, Feedback, Filter, Row, State, Status, Suppressed

if TYPE_CHECKING:
    from ._sqs import SQSQueue
    from ._store import Outbox

__all__ = [
    "Count",
    "Feedback",
    "Filter",
    "Journal",
    "JournalError",
    "JournalUnavailable",
    "KeyReused",
    "LeaseLost",
    "MemoryOutbox",
    "Outbox",
    "Queued",
    "Row",
    "SQSQueue",
    "State",
    "Status",
    "Suppressed",
]


def __getattr__(name: str) -> Any:
    """The outbox itself, which needs what the extra brings, and the queue, which needs an AWS client's 0.2 s."""
    if name == "SQSQueue":
        from ._sqs import SQSQueue

        return SQSQueue
    if name != "Outbox":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from ._store import Outbox
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"an outbox needs {error.name}: pip install 'seslimit[outbox]'.") from error
    return Outbox
