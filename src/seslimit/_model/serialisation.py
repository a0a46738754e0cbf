"""
An `EmailMessage` as bytes, made in steps short enough for other threads to run in between.

The email package's own generator hands a whole content to single calls of the interpreter, during which no other thread
runs: ten megabytes would hold up an event loop for 60 ms, and thirty for 300, wherever they are serialised. Each of the
two steps that are done otherwise here does so alone; without both it is 27 ms. The bytes are the same, but for the
boundaries: those are made of what they part, not of chance, so that the same message is the same bytes in the next run.
"""

from __future__ import annotations

import copy
import email.message
import email.policy
import hashlib
import io
import re
from email.generator import BytesGenerator
from email.headerregistry import BaseHeader

PIECE = 1024 * 1024
"""Characters whose line ends are made at once: about 5 ms."""

_LINE_END = re.compile(r"\r\n|\r|\n")
_MODERN = email.policy.SMTP.clone(cte_type="7bit")
_UNFOLDED = email.policy.default.clone(utf8=True, max_line_length=None)
_LEGACY = email.policy.compat32.clone(mangle_from_=False, cte_type="7bit")


def serialised(content: email.message.Message) -> bytes:
    """The content in 7 bit, without a Bcc header. Safe in a thread."""
    if "Bcc" in content or "Resent-Bcc" in content:
        content = copy.copy(content)
        del content["Bcc"], content["Resent-Bcc"]
    policy = _MODERN if isinstance(content, email.message.EmailMessage) else _LEGACY
    if type(content).as_bytes is not email.message.Message.as_bytes:
        # A class that has its own way to become bytes has a reason.
        return content.as_bytes(policy=policy)
    written = io.BytesIO()
    _PiecewiseGenerator(written, mangle_from_=False, policy=policy).flatten(content)
    return written.getvalue()


def unfolded(header: BaseHeader) -> str:
    """A header's value on one line, as it was set."""
    return header.fold(policy=_UNFOLDED).partition(":")[2]


class _PiecewiseGenerator(BytesGenerator):
    """The email package's generator but for two steps that take long at a stretch."""

    _NL: str

    def _write_lines(self, lines: str) -> None:
        """Write lines with the policy's line ends, in pieces of whole lines."""
        begin = 0
        while begin < len(lines):
            end = lines.find("\n", begin + PIECE) + 1 or len(lines)
            self.write(self._NL.join(_LINE_END.split(lines[begin:end])))
            begin = end

    @classmethod
    def _make_boundary(cls, text: bytes | None = None) -> str:
        """Choose a boundary that the text does not hold; to look for it as a pattern takes 30 times as long."""
        boundary = f"==============={hashlib.blake2b(text or b'', digest_size=10).hexdigest()}=="
        chosen = boundary
        number = 0
        while text is not None and f"--{chosen}".encode("ascii") in text:
            chosen = f"{boundary}.{number}"
            number += 1
        return chosen
