"""
A small file that outlives a process: where a warm-up stands, and what was learnt of the rate.

Invariants: the file is whole at any moment, also after a kill; one process has it at a time; what it cannot read it
leaves as it is.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any

from .._model.errors import ConfigurationError
from .._replacing import replacing

try:
    import fcntl
except ModuleNotFoundError:  # Windows: nobody else is kept out
    fcntl = None  # type: ignore[assignment]


class StateFile:
    """
    Named values in a file, each as JSON has it.

    Args:
        path: the file; made by the first value, readable by its owner alone.
        lock: whether other processes are kept out until it is closed; not for one that only looks.

    Raises:
        ConfigurationError: it is something else, cannot be read, or another process has it.
    """

    def __init__(self, path: str | os.PathLike[str], *, lock: bool = True) -> None:
        self._path = Path(path)
        self._lock: int | None = None
        try:
            if lock and fcntl is not None:
                self._lock = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            text = self._path.read_text(encoding="utf-8") if self._path.exists() else "{}"
        except BlockingIOError:
            self.close()
            raise ConfigurationError(f"{self._path} is used by another process: give --state another file.") from None
        except (OSError, UnicodeError) as error:
            self.close()
            raise ConfigurationError(f"{self._path} cannot be used to remember the state: {error}.") from None
        try:
            self._values: dict[str, Any] = json.loads(text)
            if not isinstance(self._values, dict):
                raise ValueError
        except ValueError:
            self.close()
            raise ConfigurationError(f"{self._path} is no state file: give --state another file.") from None

    def __enter__(self) -> StateFile:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def get(self, name: str) -> Any:
        """A value; None where there is none."""
        return self._values.get(name)

    def put(self, name: str, value: Any) -> None:
        """
        Keep a value; on the disk when this returns.

        Raises:
            OSError: it cannot be written; the file is as it was.
        """
        values = self._values | {name: value}
        with replacing(self._path) as file:
            file.write(json.dumps(values).encode())
            file.flush()
            os.fsync(file.fileno())
        self._values = values

    def close(self) -> None:
        """Let other processes have it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
