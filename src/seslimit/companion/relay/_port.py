"""One port of a relay: who comes in by it, and what its messages are."""

from __future__ import annotations

import asyncio

import attrs

from ._replies import too_many_failed
from ._session import RelaySession
from ._sessions import Sessions


@attrs.frozen(eq=False)
class Port:
    """
    What an `Acceptor` asks.

    Args:
        sessions: what all sessions of the relay share, whichever port they came in by.
        lane: the lane of a message that comes in here and names none.
    """

    sessions: Sessions
    lane: str = ""

    def turns_away(self, host: str) -> bytes | None:
        """The last words for whoever has guessed too often; over TLS, which is not there yet, there are none."""
        again = self.sessions.logins.refuses(host, asyncio.get_running_loop().time())
        if again is None:
            return None
        return b"" if self.sessions.options.tls_implicit else f"{too_many_failed(again)}\r\n".encode("ascii")

    async def room(self) -> None:
        """Return when a session may end for the next one, or none has to."""
        while not self.sessions.takes_more:
            self.sessions.changed.clear()
            await self.sessions.changed.wait()

    def shed(self) -> bool:
        """End one session for a new one."""
        return self.sessions.shed()

    def __call__(self) -> RelaySession:
        """A new session."""
        return RelaySession(self.sessions, asyncio.get_running_loop(), self.lane)
