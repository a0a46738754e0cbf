"""
Whether a host that cannot be found is SES's in a region that there is not.

Pure. A region that is not known here may be new: it is only asked about where there is no such host.
"""

from __future__ import annotations

import re
from typing import Final

_HOST: Final = re.compile(r"email-smtp(?:-fips)?\.([a-z0-9-]{1,40})\.amazonaws\.com(?:\.cn)?\.?", re.IGNORECASE)

REGIONS: Final = frozenset(
    {
        *("af-south-1", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1", "ap-south-2"),
        *("ap-southeast-1", "ap-southeast-2", "ap-southeast-3", "ap-southeast-5", "ca-central-1", "ca-west-1"),
        *("eu-central-1", "eu-central-2", "eu-north-1", "eu-south-1", "eu-west-1", "eu-west-2", "eu-west-3"),
        *("il-central-1", "me-central-1", "me-south-1", "sa-east-1", "us-east-1", "us-east-2"),
        *("us-gov-east-1", "us-gov-west-1", "us-west-1", "us-west-2"),
    }
)
"""Source: AWS General Reference, "Amazon Simple Email Service endpoints and quotas", read 2026-11."""


def misspelt_region(host: str) -> str | None:
    """The region in the name of a host of SES's, if there is none of that name as far as is known; None otherwise."""
    found = _HOST.fullmatch(host)
    return found[1] if found and found[1].lower() not in REGIONS else None
