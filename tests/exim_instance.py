"""
A real Exim of our own: its own configuration, spool and log, in a directory that goes when it is stopped.

It hands all mail to one relay host, by a process for each message, as Exim does. Needs root, the user Debian-exim, and
Debian's exim4-daemon-light, which cannot be installed beside Postfix; unpacked anywhere it runs all the same, so it is
looked for in the folder that `SESLIMIT_EXIM` names (`.ci/run` unpacks it there) and on the path.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import attrs

USER = "Debian-exim"
"""The user that Debian's Exim is made for; it must be there."""


def _found() -> tuple[str | None, str | None]:
    """Where it is, or why there is none."""
    root = os.environ.get("SESLIMIT_EXIM", "")
    path = f"{root}/usr/sbin" if root else f"{os.environ.get('PATH', '')}:/usr/sbin"
    command = shutil.which("exim4", path=path)
    if command is None or os.geteuid() != 0:
        return None, "needs root and an Exim: unpack exim4-daemon-light, and set SESLIMIT_EXIM to the folder"
    try:
        pwd.getpwnam(USER)
    except KeyError:
        return None, f"needs the user {USER}: useradd --system --user-group {USER}"
    return command, None


EXIM, MISSING = _found()

CONFIGURATION = """
spool_directory = {directory}/spool
log_file_path = {directory}/%slog
primary_hostname = exim.example.org
exim_path = {exim}
keep_environment =
add_environment = PATH=/usr/bin
tls_advertise_hosts =
queue_run_max = 5
begin routers
all:
  driver = manualroute
  transport = relay
  route_list = * 127.0.0.1
  self = send
begin transports
relay:
  driver = smtp
  port = {relay}
  {tls}
begin retry
* * F,1h,1h
"""
"""Exim's defaults, but for the way out. Nothing is tried a second time."""


@attrs.frozen
class Exim:
    """
    An Exim that sends.

    Args:
        directory: where all of it is.
    """

    directory: Path

    @property
    def log(self) -> str:
        """What it has logged."""
        path = self.directory / "mainlog"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def completed(self) -> int:
        """Messages that all of their recipients' servers took."""
        return len(re.findall(r" Completed$", self.log, re.MULTILINE))

    @property
    def deferred(self) -> list[str]:
        """Lines of the log about recipients that are to be tried again, or were refused."""
        return re.findall(r"^.* (?:==|\*\*) .*$", self.log, re.MULTILINE)

    async def submit(self, mail_from: str, recipients: Iterable[str], content: bytes) -> None:
        """Hand over a message; it is sent by a process of its own, at once."""
        process = await asyncio.create_subprocess_exec(
            str(EXIM),
            *("-C", str(self.directory / "exim.conf"), "-odb", "-f", mail_from, "--", *recipients),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        words, _ = await process.communicate(content.replace(b"\r\n", b"\n"))
        if process.returncode:
            raise RuntimeError(f"exim: {words.decode()} {self.log}")


@contextlib.asynccontextmanager
async def exim(relay: int, *, tls: bool = False) -> AsyncIterator[Exim]:
    """
    Set up an Exim until the end of the block.

    Args:
        relay: port on loopback that all mail is handed to.
        tls: whether it goes over to TLS, whatever the certificate; otherwise it speaks in clear.
    """
    # Not the test's own directory: Exim's processes run as another user, to whom that is closed.
    directory = Path(tempfile.mkdtemp(prefix="seslimit-exim-"))
    try:
        _write(directory, relay, "hosts_require_tls = *\n  tls_verify_certificates =" if tls else "hosts_avoid_tls = *")
        yield Exim(directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _write(directory: Path, relay: int, tls: str) -> None:
    directory.chmod(0o755)
    shutil.chown(directory, USER, USER)
    (directory / "exim.conf").write_text(CONFIGURATION.format(exim=EXIM, directory=directory, relay=relay, tls=tls))
