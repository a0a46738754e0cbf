"""
A real Postfix of our own: its own configuration, queue, ports and log, in a directory that goes when it is stopped.

It hands all mail to one relay host, but for one domain, whose mail comes back to the test: that of the senders, to whom
Postfix reports what was refused. Needs Debian's package `postfix` and root, as Postfix itself does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import attrs

MISSING = (
    None
    if shutil.which("postfix", path=f"{os.environ.get('PATH', '')}:/usr/sbin") and os.geteuid() == 0
    else "needs root and a Postfix: apt-get install postfix"
)
"""Why there can be no Postfix here; None where there can."""

BEGINS_WITHIN = 10.0
"""Seconds until it answers."""

SENDERS = "news.example.org"
"""The domain of the senders."""

MAIN = """
compatibility_level = 3.6
queue_directory = {directory}/queue
data_directory = {directory}/data
maillog_file = {directory}/log
maillog_file_prefixes = {directory}
myhostname = postfix.example.org
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
mydestination =
local_recipient_maps =
local_transport = error:there is no local delivery
alias_maps =
alias_database =
relayhost = [127.0.0.1]:{relay}
transport_maps = inline:{{ {{ {senders} = smtp:[127.0.0.1]:{bounces} }} }}
smtp_host_lookup = native
smtp_tls_security_level = none
smtpd_tls_security_level = none
queue_run_delay = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 2s
"""
"""Postfix's defaults, but for the way out and for how long it waits before another try: seconds instead of minutes."""

SERVICES = """
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsmgr unix - - n 1000? 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
"""
"""Debian's services without those that deliver on this machine, and none of them in a chroot."""


@attrs.frozen
class Postfix:
    """
    A running Postfix.

    Args:
        directory: where all of it is.
        port: where it takes mail.
    """

    directory: Path
    port: int

    @property
    def log(self) -> str:
        """What it has logged."""
        path = self.directory / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def queued(self) -> int:
        """Messages in its queue, those included that are under way."""
        folders = ("maildrop", "incoming", "active", "deferred")
        return sum(path.is_file() for folder in folders for path in (self.directory / "queue" / folder).rglob("*"))


@contextlib.asynccontextmanager
async def postfix(relay: int, bounces: int) -> AsyncIterator[Postfix]:
    """
    Run a Postfix until the end of the block.

    Args:
        relay: port on loopback that all mail is handed to.
        bounces: port on loopback that the senders' own mail is handed to.
    """
    # Not the test's own directory: Postfix's processes run as another user, to whom that is closed.
    directory = Path(tempfile.mkdtemp(prefix="seslimit-postfix-"))
    try:
        instance = _written(directory, relay, bounces)
        try:
            await _command(directory, "start")
            await _answering(instance)
            yield instance
        finally:
            await _command(directory, "stop", fails=True)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _written(directory: Path, relay: int, bounces: int) -> Postfix:
    directory.chmod(0o755)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (directory / "queue").mkdir(mode=0o755)
    (directory / "data").mkdir(mode=0o700)
    shutil.chown(directory / "data", "postfix")
    main = MAIN.format(directory=directory, relay=relay, bounces=bounces, senders=SENDERS)
    (directory / "etc").mkdir(mode=0o755)
    (directory / "etc" / "main.cf").write_text(main)
    (directory / "etc" / "master.cf").write_text(SERVICES.format(port=port))
    return Postfix(directory, port)


async def _command(directory: Path, command: str, *, fails: bool = False) -> None:
    process = await asyncio.create_subprocess_exec(
        *("postfix", "-c", str(directory / "etc"), command),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=os.environ | {"PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"},
    )
    words, _ = await process.communicate()
    if process.returncode and not fails:
        log = directory / "log"
        raise RuntimeError(f"postfix {command}: {words.decode()} {log.read_text() if log.exists() else ''}")


async def _answering(instance: Postfix) -> None:
    """Wait until it greets."""
    try:
        async with asyncio.timeout(BEGINS_WITHIN):
            while True:
                with contextlib.suppress(OSError):
                    reader, writer = await asyncio.open_connection("127.0.0.1", instance.port)
                    greeting = await reader.readline()
                    writer.close()
                    if greeting.startswith(b"220"):
                        return
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise RuntimeError(f"postfix does not answer: {instance.log}") from None
