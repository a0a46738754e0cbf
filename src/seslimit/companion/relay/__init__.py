"""
An SMTP server in front of SES: `Relay`, and the options that it is made with.

Needs the extra `seslimit[relay]`.
"""

from .._address import Address
from ._handover import Counts
from ._options import RelayOptions
from ._relay import Relay

__all__ = ["Address", "Counts", "Relay", "RelayOptions"]
