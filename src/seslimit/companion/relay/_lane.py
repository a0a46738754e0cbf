"""
Which lane a message goes in: what its login says, and what its header says.

Pure. The header is for seslimit alone, and leaves the message.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

HEADER: Final = b"x-seslimit-lane:"
"""In lower case."""

_FIELD: Final = re.compile(rb"(?:\A|(?<=\n))x-seslimit-lane:((?:[^\r\n]|\r?\n[ \t])*)\r?\n", re.IGNORECASE)


class Labelled(NamedTuple):
    """
    A content without its label.

    Args:
        content: the content as it is sent.
        lane: what the label said; None where there was none.
    """

    content: bytes
    lane: str | None


def unlabelled(content: bytes) -> Labelled:
    """Take the header that names the lane out of a content."""
    end = content.find(b"\r\n\r\n")
    head = content[: end + 2] if end >= 0 else content
    if HEADER not in head.lower():
        return Labelled(content, None)
    found = _FIELD.search(head)
    if found is None:
        return Labelled(content, None)
    rest = _FIELD.sub(b"", head) + content[len(head) :]
    return Labelled(rest, found[1].strip().decode("ascii", "replace"))
