"""
The fixtures `ses_simulator` and `virtual_time`, registered as a plugin of pytest: installing seslimit is all it takes.

A module beside the package and not in it: pytest imports the plugins of everything that is installed in every run, and
this one must cost those that do not use it nothing. It imports seslimit when a test asks for a fixture.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from pathlib import Path

    from seslimit.testing import Profile, Simulator


T = TypeVar("T")


@pytest.fixture
def ses_simulator() -> Iterator[Callable[..., Simulator]]:
    """
    Start simulators, which are closed after the test: call it with the arguments of `Simulator`, or with `profile=` the
    file of one.

    Each runs in a thread of its own, so blocking and asynchronous clients can use it alike.
    """
    from seslimit.testing import Simulator

    with ExitStack() as stack:

        def start(*args: Any, profile: Profile | Path | str | None = None, **options: Any) -> Simulator:
            simulator = Simulator(*args, **options) if profile is None else Simulator.from_profile(profile, **options)
            return stack.enter_context(simulator.in_thread())

        yield start


@pytest.fixture
def virtual_time() -> Callable[[Coroutine[Any, Any, T]], T]:
    """
    Run a coroutine to its end on an event loop whose clock jumps to the next timer instead of waiting for it.

    `virtual_time(main())` returns what `main` returns; `seslimit.testing.virtual_time` has the loop itself.
    """
    from seslimit.testing.virtual_time import run

    return run
