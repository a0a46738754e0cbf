"""
A message on its way that may not be sent now, or not to everybody: what is asked before its turn and after it.

Decides for whom it is sent, and whether anything is left of the day for it. It must not know where addresses that are
suppressed are kept, nor why a guard holds a campaign.
"""

from __future__ import annotations

import attrs

from .._model.clearance import Suppressed, Suppresses
from .._model.endings import QuotaExceeded
from .._model.outcome import Outcome
from .outgoing import Outgoing
from .reserve import KEPT


class Checked(Outgoing):
    """A message on its way that the guard, the suppression and the reserve are asked about."""

    __slots__ = ()
    _is_prepared = True

    async def admit(self) -> None:
        """Wait for the turn and a place in flight, for those recipients that may be sent to."""
        if not self._holds_place:
            if self.setup.guard is not None:
                self.setup.guard.check(self.message)
            if self.setup.suppression is not None:
                await self._spare(self.setup.suppression)
        await super().admit()

    async def _begins(self) -> bool:
        reserve = self.setup.reserve
        if reserve is None:
            return True
        waits = self.policy.on_quota_exceeded == "wait"
        if reserve.begins(self.admission.cost, waits=waits):
            return True
        self._give_turn_back()
        if not waits:
            raise QuotaExceeded(f"{KEPT}.")
        await reserve.changes()
        return False

    async def _spare(self, suppression: Suppresses) -> None:
        """Leave out the recipients that are suppressed."""
        due = self._tried or self.message.recipients
        found = await suppression.suppressed(due)
        if not found:
            return
        spared = {recipient: f"suppressed: {found[recipient]}" for recipient in due if recipient in found}
        self.spared = (self.spared or {}) | spared
        if rest := tuple(recipient for recipient in due if recipient not in found):
            self._only(rest)
            return
        self.ended = True
        if self.receipt is not None:
            self.receipt = attrs.evolve(self.receipt, refused={**self.receipt.refused, **self.spared})
        else:
            self.history = attrs.evolve(self.history, outcome=Outcome.PERMANENT)
        raise Suppressed(self.spared)
