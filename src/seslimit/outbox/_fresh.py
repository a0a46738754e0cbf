"""
Messages that this process has put into an outbox and is going to take out: they need not be read again.

Decides how many are kept. Those that are added first are sent first, so where there is no room for all, it is the last
that are not kept. It must not know whether they are still in the database as they were added; who takes one asks.

Invariant: memory is bounded, whatever is added and whoever takes it out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from ._adding import Fresh

MOST_BYTES = 16 * 1024 * 1024
"""Bytes of messages that are kept, each counted as its content and `BESIDE`."""

BESIDE = 1024
"""Bytes that a message takes beside its content, about."""


class FreshMessages(Mapping[int, Fresh]):
    """Some of the messages that were added here, by their ids."""

    def __init__(self) -> None:
        self._kept: dict[int, Fresh] = {}
        self._bytes = 0

    def __getitem__(self, id_: int) -> Fresh:
        return self._kept[id_]

    def __iter__(self) -> Iterator[int]:
        return iter(self._kept)

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, added: Iterable[Fresh]) -> None:
        """Keep messages, as far as there is room."""
        for each in added:
            if self._bytes >= MOST_BYTES:
                return
            self._kept[each.id] = each
            self._bytes += each.size + BESIDE

    def forget(self, last: int) -> None:
        """Forget the messages up to an id: they were taken out, by whomever, or come in another order than most."""
        while self._kept and (first := next(iter(self._kept))) <= last:
            self._bytes -= self._kept.pop(first).size + BESIDE
