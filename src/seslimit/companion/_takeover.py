"""
Listening sockets that go on from one process to the next, where no systemd keeps them.

Over a Unix socket: the next process asks, is given the listening sockets, and says when it serves; then the one before
it stops. Meanwhile both have the same queue of connections, so that nobody is refused and none is lost between them, as
some are where two processes listen on one port (SO_REUSEPORT): the kernel drops what waits in the queue that closes.

Invariant: they go to a process of the same user, or of root, and to nobody else.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from seslimit import ConfigurationError

from ._accepting import no_more_of
from ._listening import waiting_on

logger = logging.getLogger("seslimit")

HERE: Final = b"seslimit 1"
"""What goes with the sockets: the protocol's name and version."""

MOST: Final = 64
"""Listening sockets of one process."""

SERVING: Final = b"serving"
"""What the next process says when it serves."""

PATIENCE: Final = 30.0
"""Seconds for one step of the other process."""


class Takeover:
    """
    One process in a line of those that serve the same address.

    Args:
        path: where its Unix socket is; the folder has to be one that nobody else writes to.

    Raises:
        ConfigurationError: this system cannot pass sockets on.
    """

    def __init__(self, path: Path) -> None:
        if not hasattr(socket, "recv_fds"):
            raise ConfigurationError("a listening socket cannot be taken over on this system: leave out --takeover.")
        self._path = path
        self._before: socket.socket | None = None
        self._door: socket.socket | None = None
        self._task: asyncio.Task[None] | None = None
        self._taken = False

    async def inherit(self) -> Sequence[socket.socket]:
        """
        The listening sockets of the process that serves now; none where there is no such process.

        Raises:
            ConfigurationError: whoever is there is somebody else.
        """
        try:
            return await asyncio.to_thread(self._ask)
        except (FileNotFoundError, ConnectionRefusedError):
            return ()
        except OSError as error:
            raise ConfigurationError(f"nothing can be taken over by {self._path}: {error}.") from None

    def _ask(self) -> Sequence[socket.socket]:
        asking = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            asking.settimeout(PATIENCE)
            asking.connect(str(self._path))
            _check_user(asking)
            said, numbers, _, _ = socket.recv_fds(asking, len(HERE), MOST)
            if said != HERE or not numbers:
                raise OSError("the process there gave no socket")
        except BaseException:
            asking.close()
            raise
        self._before = asking
        return [waiting_on(number) for number in numbers]

    async def serve(self, listening: Sequence[socket.socket], taken: Callable[[], None]) -> None:
        """
        Let the process before go, and wait for the next one.

        Args:
            listening: the sockets that are served.
            taken: called when the next process serves them.

        Raises:
            ConfigurationError: the Unix socket cannot be made.
        """
        new = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            door.bind(str(new))
            new.chmod(0o600)
            door.listen(1)
            door.setblocking(False)
            new.replace(self._path)
        except OSError as error:
            door.close()
            new.unlink(missing_ok=True)
            raise ConfigurationError(f"{self._path} cannot be a Unix socket: {error.strerror or error}.") from None
        self._door = door
        self._task = asyncio.create_task(self._hand_on(door, listening, taken))
        if self._before is not None:
            before, self._before = self._before, None
            with before, suppress(OSError):
                before.send(SERVING)

    async def aclose(self) -> None:
        """Hand nothing on any more."""
        if self._before is not None:
            self._before.close()
        if self._task is not None and self._door is not None:
            await no_more_of(self._door)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._door is not None:
            self._door.close()
            if not self._taken:
                self._path.unlink(missing_ok=True)

    async def _hand_on(
        self, door: socket.socket, listening: Sequence[socket.socket], taken: Callable[[], None]
    ) -> None:
        loop = asyncio.get_running_loop()
        while not self._taken:
            asking, _ = await loop.sock_accept(door)
            with asking:
                try:
                    _check_user(asking)
                    asking.setblocking(False)
                    socket.send_fds(asking, [HERE], [each.fileno() for each in listening])
                    async with asyncio.timeout(PATIENCE):
                        self._taken = await loop.sock_recv(asking, len(SERVING)) == SERVING
                except OSError as error:
                    logger.warning("a process asked for the listening sockets, and does not serve them: %s", error)
        taken()


def _check_user(peer: socket.socket) -> None:
    """Raise PermissionError where the other end is somebody else; the mode of the file says so elsewhere."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is not None:
        _, user, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("3i")))
        if user not in (0, os.geteuid()):
            raise PermissionError(f"the process there is of the user {user}")
