"""
A stand-in for Amazon SES, for your tests and for trying things out: nothing leaves the machine.

`Simulator` has an SMTP door and an API door on one hidden token bucket, in the words and with the habits of the
service. It needs the extra `seslimit[sim]`; the pure `SimulatedAccount` behind it needs nothing. `FakeTransport` is a
transport in memory, and `virtual_time` an event loop that does not wait.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from ._account import SimulatedAccount, Verdict
from ._counting import CountingSpec
from ._events import EventRules
from ._fake import Attempt, FakeTransport
from ._faults import APIReply, End, Fault, Faults, Stage
from ._ledger import AcceptedMessage, Counts, Tally
from ._profile import Profile
from ._rules import APIRules, SMTPRules
from ._schedule import Schedule
from ._texts import SMTPText

if TYPE_CHECKING:
    from ._simulator import Simulator

__all__ = [
    "APIReply",
    "APIRules",
    "AcceptedMessage",
    "Attempt",
    "CountingSpec",
    "Counts",
    "End",
    "EventRules",
    "FakeTransport",
    "Fault",
    "Faults",
    "Profile",
    "SMTPRules",
    "SMTPText",
    "Schedule",
    "SimulatedAccount",
    "Simulator",
    "Stage",
    "Tally",
    "Verdict",
]


def __getattr__(name: str) -> object:
    """Import the simulator, and with it the servers that it is made of, when it is asked for."""
    if name != "Simulator":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .._model.errors import ConfigurationError

    try:
        return import_module("._simulator", __name__).Simulator
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "aiohttp":
            raise
        raise ConfigurationError(
            f"the simulator needs the package {error.name}: run  pip install 'seslimit[sim]'."
        ) from None
