"""
A companion in a process of its own, started by its command, as people start it.

Decides nothing about what it does. Its first line of output says where it listens; what it writes to standard error is
kept, to be shown when something went wrong.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from typing import IO, Any

import attrs

BEGINS_WITHIN = 120.0
"""Seconds until it listens, on a busy machine."""

ENDS_WITHIN = 60.0
"""Seconds from SIGTERM to its end; it promises ten."""


@attrs.frozen(eq=False)
class Companion:
    """
    A running companion.

    Args:
        process: its process.
        host, port: where it listens.
        told: what its first line of output says.
    """

    process: asyncio.subprocess.Process
    host: str
    port: int
    told: dict[str, Any]
    _errors: IO[bytes]

    @property
    def errors(self) -> str:
        """What it has written to standard error."""
        self._errors.seek(0)
        return self._errors.read().decode("utf-8", "replace")

    async def ended(self, send: signal.Signals | None = signal.SIGTERM) -> int:
        """
        Send a signal, and wait for the end.

        Returns:
            The exit status.

        Raises:
            TimeoutError: it did not end.
        """
        if send is not None and self.process.returncode is None:
            self.process.send_signal(send)
        async with asyncio.timeout(ENDS_WITHIN):
            # What it still has to say is read, or it might wait for a reader.
            await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode


_ACTIVATED = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1'); "
    "os.execv(sys.executable, [sys.executable, *sys.argv[2:]])"
)
"""Hands a socket over as systemd does (sd_listen_fds(3)), and becomes the program: the process keeps its id."""


def companion(
    command: str, to: str, *options: str, **environment: str
) -> contextlib.AbstractAsyncContextManager[Companion]:
    """
    Start `seslimit COMMAND` on a free port of loopback, and end it at the end.

    Args:
        command: "relay" or "listmonk".
        to: URL of the service.
        options: more options of the command.
        environment: variables to set.
    """
    return activated(None, command, to, *options, **environment)


@contextlib.asynccontextmanager
async def activated(
    listening: socket.socket | None, command: str, to: str, *options: str, **environment: str
) -> AsyncIterator[Companion]:
    """Start `seslimit COMMAND` on a listening socket, as systemd hands it over; see `companion`."""
    arguments = [command, "--listen", "127.0.0.1:0", "--to", to, "--json", *options]
    given = () if listening is None else (listening.fileno(),)
    before = ("-c", _ACTIVATED, *map(str, given)) if given else ()
    with tempfile.TemporaryFile() as errors:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, *before, "-m", "seslimit", *arguments),
            pass_fds=given,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            env=os.environ | environment,
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(BEGINS_WITHIN):
                line = await process.stdout.readline()
            if not line:
                errors.seek(0)
                raise RuntimeError(f"seslimit {command} did not begin: {errors.read().decode()}")
            told = json.loads(line)
            host, _, port = told["listen"].rpartition(":")
            running = Companion(process, host, int(port), told, errors)
            yield running
            await running.ended()
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.communicate()
