"""The direction of dependencies: each layer imports only from those above it, and the pure ones know no clock."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import seslimit

pytestmark = pytest.mark.once

PACKAGE = Path(seslimit.__file__).parent

LAYERS = (
    ("values", ("_model", "_model.*")),
    (
        "decisions",
        ("_meaning", "_meaning.*", "_law", "_law.*", "_dialogue", "_dialogue.*", "_composing", "_composing.*"),
    ),
    ("interface", ("transports", "transports._url")),
    (
        "edge",
        (
            "_bridging",
            "_inbox",
            "_replacing",
            "_with_block",
            "_portal",
            "_sqs",
            "_pacing",
            "_pacing.*",
            "shared",
            "shared.*",
            "transports.*",
            "transports.ses.*",
            "transports.smtp.*",
        ),
    ),
    ("assembly", ("_sending", "_sending.*")),
    (
        "surface",
        (
            "",
            "__main__",
            "blocking",
            "contrib",
            "contrib.*",
            "contrib.django.*",
            "cli",
            "cli.*",
            "cli.doctor.*",
            "companion",
            "companion.*",
            "companion.relay.*",
            "companion.listmonk.*",
            "feedback",
            "feedback.*",
            "outbox",
            "outbox.*",
            "observe",
            "observe.*",
            "testing",
            "testing.*",
        ),
    ),
)
"""From the top. A name counts before a pattern; the empty name is the package itself."""

PURE = (0, 1, 2)
"""Numbers of the layers that are told the time."""
IMPURE_MODULES = {"asyncio", "time", "datetime", "logging", "os", "socket", "ssl", "threading", "selectors"}
SHARED_WITH_COMPANIONS = {
    "_inbox",
    "_with_block",
    "_dialogue.content",
    "_dialogue.login",
    "_composing.header",
    "_composing.parts",
    "_composing.structured",
}
"""What composes a message of fields is the command line's and a queue's as well: two of it would encode one name in two
ways. What finds the final dot for the simulator's door finds it for the relay: two of it could come to differ, and a
server that ends a message elsewhere than the others is open to SMTP smuggling. A login is a dialogue as well."""
HEAVY = (
    "sqlalchemy",
    "aiosqlite",
    "asyncpg",
    "aiobotocore",
    "botocore",
    "aiosmtplib",
    "aiosmtpd",
    "aiohttp",
    "click",
    "rich",
    "redis",
)


@cache
def modules() -> list[str]:
    """Every module of the package, by its name inside it."""
    paths = (path.relative_to(PACKAGE).with_suffix("") for path in sorted(PACKAGE.rglob("*.py")))
    own = (path for path in paths if path.parts[0] != "_examples")  # other people's code, which the wheel carries
    return [".".join(part for part in path.parts if part != "__init__") for path in own]


@cache
def tree(module: str) -> ast.Module:
    """A module's syntax tree."""
    path = PACKAGE.joinpath(*module.split("."))
    return ast.parse((path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text())


def layer(module: str) -> int | None:
    """The number of a module's layer, from the top; None where it has none."""
    for wanted in (module, module.rpartition(".")[0] + ".*"):
        for number, (_, names) in enumerate(LAYERS):
            if wanted in names:
                return number
    return None


def statements(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Imports in a tree: those in functions too, and those for the type checker alone, which a reader follows."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        yield from statements(child)


def absolute(module: str, statement: ast.ImportFrom) -> str:
    """What `from … import` names, from the top of the world."""
    if not statement.level:
        return statement.module or ""
    parts = ["seslimit", *filter(None, module.split("."))]
    is_package = PACKAGE.joinpath(*module.split(".")).is_dir()
    base = parts[: len(parts) - statement.level + is_package]
    return ".".join([*base, *filter(None, [statement.module])])


def imports(module: str) -> Iterator[str]:
    """Absolute names of the modules that a module imports."""
    for statement in statements(tree(module)):
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
            continue
        name = absolute(module, statement)
        inner = {f"{name}.{alias.name}" for alias in statement.names}
        submodules = {one for one in inner if one.startswith("seslimit") and one.partition(".")[2] in modules()}
        yield from submodules
        if submodules != inner:
            yield name


@cache
def own(module: str) -> set[str]:
    """Modules of the package that a module imports."""
    return {name.partition(".")[2] for name in imports(module) if name.partition(".")[0] == "seslimit"}


@pytest.mark.parametrize("module", modules(), ids=lambda module: module or "seslimit")
def test_a_module_imports_from_its_own_layer_or_above(module: str) -> None:
    """Values, decisions, interface, edge, assembly, surface."""
    place = layer(module)
    assert place is not None, f"give {module} a layer in {Path(__file__).name}"
    below = {name for name in own(module) if (layer(name) or 0) > place}
    assert not below


@pytest.mark.parametrize("module", [module for module in modules() if layer(module) in PURE])
def test_a_pure_module_knows_no_clock_no_loop_and_no_system(module: str) -> None:
    """Time comes as an argument; texts go out as values."""
    assert not {name.partition(".")[0] for name in imports(module)} & IMPURE_MODULES


def test_there_are_no_import_cycles() -> None:
    """A module can be read after those it imports."""
    order = TopologicalSorter({module: own(module) - {module} for module in modules()}).static_order()
    assert set(order) == set(modules())


@pytest.mark.parametrize("module", modules(), ids=lambda module: module or "seslimit")
def test_a_module_opens_with_what_it_is(module: str) -> None:
    """In at most twelve lines and a few."""
    docstring = ast.get_docstring(tree(module))
    assert docstring
    assert len(docstring.splitlines()) <= 20


@pytest.mark.parametrize("module", modules(), ids=lambda module: module or "seslimit")
def test_a_module_is_not_named_for_nothing(module: str) -> None:
    """Names that promise nothing hold everything."""
    empty = {"util", "utils", "helper", "helpers", "manager", "handler", "base", "common", "core", "misc"}
    assert not {part.strip("_") for part in module.split(".")} & empty


def loaded_by(statement: str) -> set[str]:
    """The modules that are there after one statement, in a process that has done nothing else."""
    script = f"import sys; {statement}; print(*sys.modules)"
    return {*subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()}


USE = "from seslimit import Limiter, Message, RetryPolicy, Sender, transport_from_url"


def test_importing_the_package_imports_no_client_and_no_surface() -> None:
    """Not AWS's (0.2 s), not SMTP's, nothing of the command line, nothing of the simulator."""
    loaded = loaded_by(USE)
    assert not {name.partition(".")[0] for name in loaded} & set(HEAVY)
    assert not [name for name in loaded if name.startswith(("seslimit.testing", "seslimit.cli"))]


def test_importing_the_package_loads_values_alone() -> None:
    """What works on them, and asyncio with it, comes when it is first named: a process may only want an error."""
    loaded = loaded_by("import seslimit")
    assert {name for name in loaded if name.startswith("seslimit.")} <= {name for name in loaded if "._model" in name}
    assert not {"asyncio", "aiolimiter", "backoff"} & loaded


def test_sending_loads_nothing_of_what_is_not_asked_for() -> None:
    """Sharing a rate, and the half of the email package that bytes do not need, are loaded where they are used."""
    unused = {"seslimit._pacing.member", "seslimit._law.share", "email.policy", "email.generator", "json"}
    assert not unused & loaded_by(USE)


def test_sending_a_list_loads_nothing_of_what_is_not_asked_for() -> None:
    """The live page, sharing, outbox and feedback come with their options: the command starts anew for every list."""
    unused = ("observe", "shared", "outbox", "feedback", "testing", "companion")
    loaded = loaded_by("import seslimit.cli._commands, seslimit.cli._send")
    assert not {name for name in loaded if name.startswith(tuple(f"seslimit.{each}" for each in unused))}
    assert not {"aiohttp", "sqlalchemy", "redis", "jinja2"} & loaded


@pytest.mark.parametrize("module", [module for module in modules() if module.startswith("companion")])
def test_a_companion_uses_the_public_interface_alone(module: str) -> None:
    """As any embedder: what seslimit and its outbox give, and nothing behind them but what the simulator shares."""
    public = ("", "outbox")
    assert all(name in public or name.startswith("companion") for name in own(module) - SHARED_WITH_COMPANIONS)


@pytest.mark.parametrize(
    "path", sorted(Path(__file__).parent.rglob("*.py")), ids=lambda path: str(path.relative_to(Path(__file__).parent))
)
def test_a_test_needs_no_benchmark(path: Path) -> None:
    """Benchmarks measure what the tests hold, so they import from the tests, and never the other way round."""
    named = (
        name
        for statement in statements(ast.parse(path.read_text()))
        for name in ([statement.module or ""] if isinstance(statement, ast.ImportFrom) else _names(statement))
    )
    assert not [name for name in named if name.partition(".")[0] == "benchmarks"]


def _names(statement: ast.Import) -> list[str]:
    return [alias.name for alias in statement.names]
