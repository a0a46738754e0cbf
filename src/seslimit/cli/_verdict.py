"""
What a run of `seslimit send` came to: the exit status, and the one sentence beside it.

Pure words about figures that are final. What stopped the service is in `_ending`.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from .._model.errors import SESLimitError
from ._ending import Status, ended_by
from ._past import State
from ._reporting import ReportFile
from ._supply import InputUnexpected
from ._tally import Tally


@attrs.frozen(kw_only=True)
class Verdict:
    """
    All that the end of a run is judged by.

    Args:
        tally: its counts.
        before: messages of the input that a run before had brought to their end, by how.
        url: the transport's.
        report: where the lines are.
        has_outbox: whether messages were sent from one.
        was_taken_away: whether the outbox's file is not the one any more that it was.
        others: messages that another process is sending from the same outbox.
        cancelled: messages that were cancelled in the outbox while the run went on.
        is_stopping: whether somebody stopped it.
        is_cut_off: whether a stream may hold more than was read.
        first_failure: a sentence about the first message that did not get through; empty for none.
    """

    tally: Tally
    before: Mapping[State, int]
    url: str
    report: ReportFile
    has_outbox: bool
    was_taken_away: bool
    others: int
    cancelled: int
    is_stopping: bool
    is_cut_off: bool
    first_failure: str

    def on(self, stopped_by: SESLimitError | None) -> tuple[Status, str | None]:
        """The exit status and the sentence, None where all is well, of a run that this stopped, or nothing."""
        if self.was_taken_away:
            named = f"; the report {self.report.name} names them." if self.report.path is not None else "."
            return Status.WRONG_USAGE, (
                "the file of the outbox was removed or replaced while messages were sent from it, and knows nothing of "
                f"the {self.tally.accepted:,} that were accepted: the same command would send them again{named}"
            )
        status, sentence = self._sent() if stopped_by is None else self._stopped(stopped_by)
        if self.report.failure is not None:
            sentence = f"{self.report.failure}; {sentence or 'every message came to its end.'}"
            return status or Status.WRONG_USAGE, sentence
        return status, sentence

    def _stopped(self, stopped_by: SESLimitError) -> tuple[Status, str]:
        if isinstance(stopped_by, InputUnexpected) and not self.tally.messages:
            return Status.WRONG_USAGE, f"nothing was sent, for {stopped_by}"
        if isinstance(stopped_by, InputUnexpected) and self.has_outbox:
            return Status.WRONG_USAGE, f"{str(stopped_by).rstrip('.')}: nothing after it was read; {self._remaining()}."
        return ended_by(stopped_by, self.url, self._remaining())

    def _sent(self) -> tuple[Status, str | None]:
        tally = self.tally
        if self.others and not self.is_stopping:
            return Status.REMAINING, (
                f"another process is sending {self.others:,} of what is in the outbox, and has not ended: wait for it; "
                f"{self._remaining()}."
            )
        if tally.remaining or self.is_cut_off:
            return Status.REMAINING, f"sending was stopped; {self._remaining()}."
        if self.cancelled:
            return Status.SOME_FAILED, (
                f"{self.cancelled:,} {'message was' if self.cancelled == 1 else 'messages were'} cancelled in the "
                "outbox while this run sent: 'seslimit outbox retry' puts them back."
            )
        if others := tally.failed + tally.unknown + tally.in_part:
            more = f" ({others - 1:,} more did not get through)" if others > 1 else ""
            return Status.SOME_FAILED, f"{self.first_failure.rstrip('.')}{more}."
        if others := sum(count for state, count in self.before.items() if state is not State.ACCEPTED):
            names = "outbox list" if self.has_outbox else f"report {self.report.name}"
            return Status.SOME_FAILED, (
                f"{others:,} of the input did not get through in a run before, or may have been accepted: "
                f"'seslimit {names}' names them."
            )
        return Status.ALL_ACCEPTED, None

    def _remaining(self) -> str:
        count = self.tally.remaining
        where = '"not_sent" on the report'
        if self.has_outbox:
            where = "the same command again sends them"
        elif self.report.path is None:
            where = "--report FILE names them"
        elif self.report.failure:
            where = "without a line on the report"
        unread = ", and what standard input still holds" if self.is_cut_off else ""
        return f"{count:,} {'message remains' if count == 1 else 'messages remain'} ({where}){unread}"
