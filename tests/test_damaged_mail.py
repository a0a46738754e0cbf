"""A slice of the damaged and unusual mail that `tests.faults.damaged_mail` makes by the million."""

from __future__ import annotations

import pytest

from seslimit import Message
from tests.faults import mail_reader
from tests.faults.damaged_mail import Verdicts, case, run


@pytest.mark.parametrize("seed", [11, 12])
def test_every_case_is_sent_as_a_second_reader_has_it_or_refused(seed: int) -> None:
    """To exactly its recipients and with its bytes, or in one sentence; nothing well-formed is refused."""
    verdicts = run(seed, 0, 1500)
    assert verdicts.wrong == []
    for kind in ("eml", "mbox", "jsonl"):
        assert verdicts.counts[f"{kind} messages sent"] > 100
        assert verdicts.counts[f"{kind} messages refused"] > 100


def test_a_recipient_too_few_is_found() -> None:
    """The judge is no yes-man: a message that goes to one less than its headers name is wrong."""
    made = next(made for made in (case(11, number) for number in range(100)) if made.kind == "eml" and made.made_for)
    seen = mail_reader.eml(made.raw)
    assert seen is not None
    assert seen.content is not None
    verdicts = Verdicts()
    verdicts.take(0, made, [Message(seen.mail_from, seen.recipients, seen.content)])
    assert verdicts.wrong == []
    verdicts.take(0, made, [Message(seen.mail_from, [*seen.recipients[1:], "x@example.org"], seen.content)])
    assert len(verdicts.wrong) == 1
