"""Over sessions that the service ends, and a rate that it lowers: nothing lost, doubled, charged or out of order."""

from __future__ import annotations

import pytest

from tests.faults.sessions import CLIENTS, Client, Service, play

pytestmark = pytest.mark.once

BRIEF = Service(rate=200, lower=40, lowered=0.5, cap=8, idle=0.5)


@pytest.mark.parametrize("client", CLIENTS, ids=[client.name for client in CLIENTS])
def test_sessions(client: Client) -> None:
    """All messages are accepted once, with one counted attempt each, and no command is out of order."""
    run = play(client, BRIEF, 80, seed=1)
    assert run.broken == []
    assert run.relay.count("220") >= 10
    assert client.options == "" or run.relay.count("421", "session") > 0
