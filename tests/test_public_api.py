"""What other people's programs use: the names, their documentation, and that they are typed."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from importlib.metadata import metadata, requires
from importlib.resources import files

import pytest

import seslimit

CONTRACT = {
    "AccountBlocked",
    "Limiter",
    "Message",
    "Outcome",
    "Receipt",
    "Report",
    "RetryPolicy",
    "SESLimitError",
    "SendFailed",
    "SendQuota",
    "Sender",
    "Transport",
    "TransportError",
    "classify",
    "transport_from_url",
}
"""The names that the documentation promises for the whole of version 1."""


def members(name: str) -> Iterator[tuple[str, object]]:
    """A public name and what of it is public."""
    value = getattr(seslimit, name)
    yield name, value
    if inspect.isclass(value):
        for member, inner in vars(value).items():
            if not member.startswith("_") and (inspect.isroutine(inner) or isinstance(inner, property)):
                yield f"{name}.{member}", inner


def test_the_promised_names_are_there() -> None:
    """Names beside them may be added, none is taken away."""
    assert set(seslimit.__all__) >= CONTRACT


def test_the_names_are_sorted_and_lead_somewhere() -> None:
    """Each once."""
    assert seslimit.__all__ == sorted(set(seslimit.__all__))
    assert all(hasattr(seslimit, name) for name in seslimit.__all__)


def _imported(statements: list[ast.stmt]) -> dict[str, str]:
    """The names that statements import, and the module of each."""
    return {
        alias.asname or alias.name: "." * statement.level + (statement.module or "")
        for statement in statements
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }


def test_the_package_imports_nothing_that_it_does_not_make_public() -> None:
    """The front page is the list of public names and nothing else; a checker finds those that are loaded later."""
    body = ast.parse(inspect.getsource(seslimit)).body
    (for_checkers,) = [_imported(each.body) for each in body if isinstance(each, ast.If) and _imported(each.body)]
    assert {*_imported(body), *for_checkers} == set(seslimit.__all__)
    assert for_checkers == seslimit._LATER


def test_the_package_names_what_it_loads_later() -> None:
    """`dir` and completion show every public name, used or not."""
    assert {*dir(seslimit)} >= {*seslimit.__all__}
    with pytest.raises(AttributeError, match="has no attribute 'Mailer'"):
        seslimit.Mailer  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize(
    ("name", "value"),
    [pytest.param(*pair, id=pair[0]) for name in seslimit.__all__ for pair in members(name)],
)
def test_a_public_name_is_documented(name: str, value: object) -> None:
    """In a sentence at least."""
    assert (inspect.getdoc(value) or "").strip(), name


@pytest.mark.parametrize("name", seslimit.__all__)
def test_a_public_name_is_annotated(name: str) -> None:
    """Every argument and every return value of every public function."""
    for member, value in members(name):
        function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        if inspect.isfunction(function):
            parameters = [key for key in inspect.signature(function).parameters if key not in ("self", "cls")]
            assert set(inspect.get_annotations(function)) == {*parameters, "return"}, member


def test_the_package_is_marked_as_typed() -> None:
    """So that a type checker reads its annotations."""
    assert files("seslimit").joinpath("py.typed").is_file()


def test_the_core_needs_four_packages() -> None:
    """And nothing else; what more there is comes as an extra."""
    needed = {re.split(r"[^\w-]", name)[0] for name in requires("seslimit") or [] if "extra ==" not in name}
    assert needed == {"aiobotocore", "aiolimiter", "attrs", "backoff"}


def test_the_promised_extras_are_there() -> None:
    """As the documentation names them, each with code that uses what it installs."""
    extras = set(metadata("seslimit").get_all("Provides-Extra") or [])
    promised = "smtp sim cli relay listmonk feedback outbox redis prometheus otel django template all"
    assert extras == set(promised.split())


def test_the_version_is_the_one_that_is_installed() -> None:
    """Read when asked for: reading it takes as long as half of the import."""
    assert seslimit.__version__ == metadata("seslimit")["Version"]
    with pytest.raises(AttributeError, match="has no attribute 'versions'"):
        seslimit.versions  # type: ignore[attr-defined]  # noqa: B018
