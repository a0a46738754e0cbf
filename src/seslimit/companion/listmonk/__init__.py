"""
listmonk's HTTP messenger in front of SES: `ListmonkMessenger`, and the options that it is made with.

Its HTTP interface is described in `openapi.json`. Needs the extra `seslimit[listmonk]`.
"""

from .._address import Address
from ._advice import Settings
from ._held import Counts
from ._messenger import ListmonkMessenger
from ._options import ListmonkOptions

__all__ = ["Address", "Counts", "ListmonkMessenger", "ListmonkOptions", "Settings"]
