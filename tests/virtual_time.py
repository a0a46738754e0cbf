"""The virtual time of these tests is the one that users get."""

from seslimit.testing.virtual_time import VirtualTimeLoop, block, on_virtual_time, run

__all__ = ["VirtualTimeLoop", "block", "on_virtual_time", "run"]
