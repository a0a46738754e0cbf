"""Names by which processes of one machine see that one of them has ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from seslimit._pacing.presence import has_ended, is_here, new_name


def test_no_two_names_are_alike() -> None:
    """Two limiters of one process are two members."""
    assert new_name() != new_name()


def test_a_process_that_goes_on_has_not_ended() -> None:
    """Also where it is this one."""
    name = new_name()
    assert is_here(name)
    assert not has_ended(name)


@pytest.mark.skipif(not sys.platform.startswith(("linux", "darwin")), reason="looks at processes of Linux and macOS")
def test_a_process_that_was_killed_has_ended_also_before_its_parent_looks() -> None:
    """What it leaves until then is a zombie (proc_pid_stat(5), state Z)."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    machine, _, token = new_name().split(".")
    name = f"{machine}.{process.pid}.{token}"
    assert not has_ended(name)
    process.send_signal(signal.SIGKILL)
    if sys.platform.startswith("linux"):
        ends = time.monotonic() + 30.0
        while not has_ended(name) and time.monotonic() < ends:
            os.sched_yield()
        assert has_ended(name)
    process.communicate()
    assert has_ended(name)
    assert not is_here(name)


@pytest.mark.parametrize("name", ["a", "", "0123456789ab.1.x", "elsewhere.999999999.x", "elsewhere..", "a.b.c"])
def test_of_a_process_elsewhere_nothing_is_known(name: str) -> None:
    """Its number may be another process's here."""
    assert not has_ended(name)
    assert not is_here(name)
