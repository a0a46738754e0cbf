# pyright: strict, reportUnnecessaryTypeIgnoreComment=true
"""
Somebody's program, which mypy and pyright read strictly: real signatures, no `Any`, and wrong use is seen.

Nothing runs it. Each `type: ignore` is a mistake that has to be found: one that is not would be an ignore too many.
"""

from __future__ import annotations

from typing import assert_type

from seslimit import Message, Receipt, Report, SendQuota, State, Transport
from seslimit.blocking import Admission, Limiter, Sender

limiter = Limiter(14, max_rate=20)
assert_type(limiter.rate, float)
assert_type(limiter.estimate, float | None)
assert_type(limiter.quota, SendQuota | None)
assert_type(limiter.paused, str | None)
assert_type(limiter.acquire(2), None)
assert_type(limiter.state(), State)
assert_type(limiter.has_capacity(), bool)
assert_type(limiter.admit(recipients=3, lane="campaign"), Admission)
limiter.lane("transactional", priority=1, reserve=0.1)
limiter.acquire("x")  # type: ignore[arg-type]
limiter.admit(recipient=3)  # type: ignore[call-arg]
limiter.lane(3)  # type: ignore[arg-type]
limiter.rate = 3  # type: ignore[assignment]


@limiter.wrap(cost=2)
def send(number: int, *, text: str = "") -> bytes:
    """Make one attempt."""
    return text.encode() * number


assert_type(send(1, text="x"), bytes)
send("x")  # type: ignore[arg-type]
limiter.wrap(costs=2)  # type: ignore[call-arg]


def main(message: Message) -> None:
    """Send."""
    with limiter.admit(3) as admission, limiter:
        admission.handed_over()
    with Sender("ses://eu-west-1", limiter=limiter) as sender:
        assert_type(sender.send(message, lane="campaign"), Receipt)
        assert_type(sender.limiter, Limiter)
        assert_type(sender.transport, Transport)
        for report in sender.send_many([message]):
            assert_type(report, Report)
        sender.send(message, lan="campaign")  # type: ignore[call-arg]
        sender.send()  # type: ignore[call-arg]
        sender.send_many(message)  # type: ignore[arg-type]
        sender.close(deadline=3)
