"""The regions that have SES."""

from __future__ import annotations

import functools

import botocore.session


@functools.cache
def known_regions() -> frozenset[str]:
    """The regions that have SES, as far as the installed botocore knows."""
    session = botocore.session.Session()
    partitions = session.get_available_partitions()
    return frozenset(region for partition in partitions for region in session.get_available_regions("sesv2", partition))
