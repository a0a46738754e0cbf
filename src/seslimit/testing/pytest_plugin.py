"""The former place of the pytest plug-in, for who names it; `seslimit_pytest` is the plug-in."""

from seslimit_pytest import ses_simulator, virtual_time

__all__ = ["ses_simulator", "virtual_time"]
