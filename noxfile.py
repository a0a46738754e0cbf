"""The project's sessions: `nox` runs those that decide whether a change may land."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import nox

nox.needs_version = ">=2024.10.9"
nox.options.default_venv_backend = "venv"
nox.options.error_on_missing_interpreters = True
nox.options.sessions = ["lint", "types", "tests", "docs", "build"]

PYPROJECT = nox.project.load_toml("pyproject.toml")
EXTRAS = "smtp,sim,cli,relay,listmonk"
SUPPORTED = ("3.11", "3.12", "3.13")


def _runs(version: str) -> bool:
    """Whether this machine has that Python; a version manager's shim may be there without one behind it."""
    path = shutil.which(f"python{version}")
    return path is not None and subprocess.run([path, "--version"], capture_output=True).returncode == 0


PRESENT = [version for version in SUPPORTED if _runs(version)]


def _install(session: nox.Session, *requirements: str) -> None:
    """Install in the versions that the project is tested with."""
    session.install("-c", "constraints.txt", *requirements)


def _group(name: str) -> list[str]:
    return list(nox.project.dependency_groups(PYPROJECT, name))


def _wheel(session: nox.Session) -> Path:
    """The built wheel: what is tested is what people install."""
    target = Path(session.create_tmp()) / "dist"
    shutil.rmtree(target, ignore_errors=True)
    session.install("build")
    session.run("python", "-m", "build", "--wheel", "--outdir", str(target), silent=True)
    return next(target.glob("*.whl"))


@nox.session(python=PRESENT)
def tests(session: nox.Session) -> None:
    """The whole suite against the built wheel, on every supported Python that this machine has."""
    _install(session, f"seslimit[{EXTRAS}] @ {_wheel(session).resolve().as_uri()}", *_group("tests"))
    session.run("pytest", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff: style, docstrings, security rules, format."""
    _install(session, *_group("lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Mypy in strict mode and pyright."""
    _install(session, "-e", f".[{EXTRAS}]", *_group("types"), *_group("tests"), *_group("bench"), "nox")
    session.run("mypy")
    session.run("pyright")


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation as HTML; every warning is an error. Its Python blocks are run by the tests."""
    _install(session, "-e", f".[{EXTRAS}]", *_group("docs"))
    session.run("sphinx-build", "-W", "--keep-going", "-q", "-b", "html", "docs", "docs/_build/html")


@nox.session
def build(session: nox.Session) -> None:
    """The wheel, installed with the four core packages alone: it imports, and its command says what it needs."""
    _install(session, str(_wheel(session)))
    session.run("python", "-c", "import seslimit; print(len(seslimit.__all__), 'public names')")
    session.run("seslimit", "--version", success_codes=[2])


@nox.session
def bench(session: nox.Session) -> None:
    """Seslimit beside boto3, aiolimiter + backoff + aiosmtplib and django-ses; writes the docs' table and plot."""
    _install(session, "-e", f".[{EXTRAS}]", *_group("bench"))
    session.run("python", "-m", "benchmarks.peers", *session.posargs)
