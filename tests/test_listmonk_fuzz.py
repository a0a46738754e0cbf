"""The messenger against requests that schemathesis makes from its description."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

pytestmark = pytest.mark.once


def test_no_generated_request_gets_an_answer_that_is_not_described() -> None:
    """No 5xx, nothing well-formed refused; `python -m tests.faults.messenger_fuzz` makes 2,000 of them."""
    from tests.faults.messenger_fuzz import fuzz

    answers = fuzz(150)
    assert sum(answers.values()) >= 150
    assert answers["POST / positive", 200] >= 60
    assert answers["POST / negative", 400] + answers["POST / negative", 401] > 30
    assert not [status for _, status in answers if status >= 500]


def test_no_mutated_post_holds_up_the_event_loop() -> None:
    """Every one is composed or refused; `python -m tests.faults.messenger_fuzz --mutated 100000` reads more of them."""
    from tests.faults.messenger_fuzz import stalls

    ends, longest, _ = stalls(1500)
    assert set(ends) == {"composed", "refused"}
    assert longest < 1.0


def test_no_mutated_post_over_http_holds_up_the_event_loop() -> None:
    """None is answered 5xx; `python -m tests.faults.messenger_fuzz --mutated 100000 --http` posts more of them."""
    from tests.faults.messenger_fuzz import stalls_over_http

    statuses, longest, _, accepted = stalls_over_http(400)
    assert statuses.total() == 400
    assert accepted > 20
    assert statuses[400] > 100
    assert not [status for status in statuses if status >= 500]
    assert longest < 1.0


@pytest.mark.parametrize("name", ["campaign", "transactional", "plain"])
def test_what_listmonk_posts_is_as_described(name: str) -> None:
    """The golden payloads are valid, and none of them is without a recipient."""
    from tests.faults.messenger_fuzz import description

    schemas = description()["components"]["schemas"]
    described = jsonschema_rs.Draft202012Validator(
        {"$ref": "#/components/schemas/Post", "components": {"schemas": schemas}}
    )
    path = Path(__file__).parent / "listmonk" / f"{name}.json"
    payload: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    assert described.is_valid(payload)
    assert not described.is_valid(payload | {"recipients": []})
