"""
The pytest fixture `ses_simulator`, registered as a plugin of pytest: installing seslimit is all it takes.

It imports the simulator only when a test asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from ._profile import Profile
    from ._simulator import Simulator


@pytest.fixture
def ses_simulator() -> Iterator[Callable[..., Simulator]]:
    """
    Start simulators, which are closed after the test: call it with the arguments of `Simulator`, or with `profile=` the
    file of one.

    Each runs in a thread of its own, so blocking and asynchronous clients can use it alike.
    """
    from . import Simulator

    with ExitStack() as stack:

        def start(*args: Any, profile: Profile | Path | str | None = None, **options: Any) -> Simulator:
            simulator = Simulator(*args, **options) if profile is None else Simulator.from_profile(profile, **options)
            return stack.enter_context(simulator.in_thread())

        yield start
