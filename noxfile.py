"""The project's sessions: `nox` runs those that decide whether a change may land."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nox

nox.needs_version = ">=2025.5.1"
nox.options.error_on_missing_interpreters = True
nox.options.sessions = ["lint", "types", "tests", "docs", "build"]

os.environ.setdefault("UV_SYSTEM_CERTS", "1")  # as pip does
os.environ.setdefault("UV_NATIVE_TLS", "1")  # the same variable's former name


def _uv_finds_packages() -> bool:
    """Whether uv is here and can install: of the mirror that pip's configuration names, it knows nothing."""
    uv = shutil.which("uv", path=str(Path(sys.executable).parent))
    if uv is None:
        return False
    try:
        tried = subprocess.run(
            [uv, "pip", "compile", "-q", "-"], input="attrs", text=True, capture_output=True, timeout=20
        )
    except subprocess.TimeoutExpired:
        return False
    return tried.returncode == 0


# uv makes in seconds what pip makes in a minute.
nox.options.default_venv_backend = "uv" if _uv_finds_packages() else "venv"

PYPROJECT = nox.project.load_toml("pyproject.toml")
EXTRAS = "smtp,sim,cli,relay,listmonk,feedback,outbox,redis,prometheus,otel,django,template"
SUPPORTED = ("3.11", "3.12", "3.13")


def _runs(version: str) -> bool:
    """Whether this machine has that Python; a version manager's shim may be there without one behind it."""
    path = shutil.which(f"python{version}")
    return path is not None and subprocess.run([path, "--version"], capture_output=True).returncode == 0


PARALLEL = ("-n", str(2 * (os.cpu_count() or 1)), "--dist", "worksteal")
"""Tests are independent of one another, and wait as long as they compute: two processes for each processor."""

AGAIN = ("--reruns", "3", "--reruns-delay", "2")
"""What fails is run again, and counted as rerun: some tests meet real sockets and other processes on a machine that
may stand still. What is broken fails each time; a rerun is a fault of the test, to be mended. `disorder` has none."""

CLIENTS: dict[str, str | None] = {}
"""Where `clients` put what it installed, for the environment of the tests."""

COMPLETE = os.environ.get("SESLIMIT_NO_SKIPS") == "1"
"""Whether everything has to be here, as in CI: a Python that is missing fails its session then, and is not left out."""

PRESENT = [version for version in SUPPORTED if COMPLETE or _runs(version)]


def _install(session: nox.Session, *requirements: str) -> None:
    """Install in the versions that the project is tested with."""
    session.install("-c", "constraints.txt", *requirements)


def _install_for_tests(session: nox.Session, *requirements: str) -> None:
    """
    Install, and compile: what is compiled while tests run is compiled by each of their processes at once.

    Besides, a warning of the compiler's is an error in a test, whoever wrote the module.
    """
    session.install("-c", "constraints.txt", *requirements, env={"UV_COMPILE_BYTECODE": "1"})


def _side_by_side(session: nox.Session, *programs: str) -> None:
    """Run programs of one thread each at the same time."""
    with ThreadPoolExecutor() as threads:
        list(threads.map(session.run, programs))


def _group(name: str) -> list[str]:
    return list(nox.project.dependency_groups(PYPROJECT, name))


def _dist(session: nox.Session) -> Path:
    return Path(session.cache_dir).resolve() / "dist"


def _built(session: nox.Session, extras: str = "") -> str:
    """The built wheel as a requirement: what is tested is what people install."""
    (path,) = _dist(session).glob("*.whl")
    return f"seslimit[{extras}] @ {path.as_uri()}" if extras else str(path)


@nox.session(python=PRESENT[0])
def wheel(session: nox.Session) -> None:
    """The wheel, built once: it is pure Python, so every session tests this one."""
    shutil.rmtree(_dist(session), ignore_errors=True)
    installer = "uv" if session.virtualenv.venv_backend == "uv" else "pip"
    session.install("build[uv]" if installer == "uv" else "build")
    options = ("--installer", installer, "--wheel", "--outdir", str(_dist(session)))
    session.run("python", "-m", "build", *options, silent=True)


@nox.session(python=PRESENT[0])
def clients(session: nox.Session) -> None:
    """
    What the suite sends with that cannot be installed beside it: the AWS CLI, and of npm's nodemailer and axe-core.

    Where there is no npm, their tests are skipped, and say what they need.
    """
    session.install("awscli>=1.40,<2")
    CLIENTS["SESLIMIT_AWS_CLI"] = str(Path(session.bin) / "aws")
    if shutil.which("npm"):
        folder = Path(session.cache_dir).resolve() / "clients"
        packages = ("nodemailer@>=7", "axe-core@^4.10")
        session.run("npm", "install", "--prefix", str(folder), "--no-save", "--silent", *packages, external=True)
        CLIENTS["SESLIMIT_NODE_MODULES"] = str(folder / "node_modules")


@nox.session(python=PRESENT, requires=["wheel", "clients"])
def tests(session: nox.Session) -> None:
    """
    The suite against the built wheel, on every supported Python that this machine has.

    On the first of them all of it, on the others all but what is marked `once`.
    """
    _install_for_tests(session, _built(session, EXTRAS), *_group("tests"))
    chosen = [] if session.python == PRESENT[0] else ["-m", "not once"]
    session.run("pytest", *PARALLEL, *AGAIN, *chosen, *session.posargs, env=CLIENTS)


@nox.session(python=PRESENT, requires=["wheel", "clients"])
def long(session: nox.Session) -> None:
    """All of the suite on every Python, what is marked `once` too, with many more random examples: for the night."""
    _install_for_tests(session, _built(session, EXTRAS), *_group("tests"))
    session.run("pytest", *PARALLEL, "--hypothesis-profile=long", *session.posargs, env=CLIENTS)


@nox.session(python=PRESENT[0], requires=["wheel", "clients"])
@nox.parametrize("resolution", ["lowest-direct", "highest"])
def bounds(session: nox.Session, resolution: str) -> None:
    """The suite with the oldest versions of what `pyproject.toml` lets in, and with the newest; no constraints."""
    session.install("uv")
    chosen = Path(session.create_tmp()) / "chosen.txt"
    told = ("--all-extras", "--group", "tests", "--python-version", str(session.python), "--resolution", resolution)
    session.run("uv", "pip", "compile", "--quiet", *told, "pyproject.toml", "--output-file", str(chosen))
    session.install("-r", str(chosen))
    session.install("--no-deps", _built(session))
    # A newer or older library may warn of what the other does not know; what it breaks fails.
    session.run("pytest", *PARALLEL, *AGAIN, "-W", "default", *session.posargs, env=CLIENTS)


@nox.session(python=PRESENT[0], requires=["wheel", "clients"])
def disorder(session: nox.Session) -> None:
    """The suite in twenty random orders; `nox -s disorder -- 3` for three."""
    _install_for_tests(session, _built(session, EXTRAS), *_group("tests"), "pytest-randomly>=3.16")
    for seed in range(int(session.posargs[0]) if session.posargs else 20):
        session.run("pytest", *PARALLEL, f"--randomly-seed={seed}", env=CLIENTS)


@nox.session(python=PRESENT[0], requires=["wheel", "clients"])
def coverage(session: nox.Session) -> None:
    """
    The suite with the branches that it takes counted, in its subprocesses too.

    All of them where an outcome, a rate or a retry is decided, 95 % of the whole; `-- tests/test_rate.py` for a part,
    which only prints. The tracer is the slow one: `sys.monitoring` counts branches from Python 3.14 on.
    """
    _install_for_tests(session, _built(session, EXTRAS), *_group("tests"))
    session.install("coverage>=7.10")
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", *PARALLEL, *AGAIN, "--timeout=600", *session.posargs, env=CLIENTS)
    session.run("coverage", "combine", "-q")
    session.run("coverage", "report", success_codes=range(3) if session.posargs else [0])
    decisions = ",".join(PYPROJECT["tool"]["mutmut"]["only_mutate"])
    session.run("coverage", "report", "--include", decisions, f"--fail-under={0 if session.posargs else 100}")


@nox.session(python=PRESENT[0])
def mutants(session: nox.Session) -> None:
    """
    Small changes to what decides an outcome, a rate or a retry: some quick test has to notice 90 of 100.

    `-- "seslimit._law.trust*"` for a part. What survived is listed; `mutmut show NAME` says what was changed.
    """
    _install(session, "-e", f".[{EXTRAS}]", *_group("tests"))
    session.install("mutmut>=3.8,<4")
    session.run("mutmut", "run", *session.posargs, silent=True)
    session.run("mutmut", "export-cicd-stats", silent=True)
    session.run("mutmut", "results")
    counts = json.loads(Path("mutants/mutmut-cicd-stats.json").read_text(encoding="utf-8"))
    killed, tried = counts["killed"] + counts["timeout"], counts["total"] - counts["skipped"]
    session.log(f"{killed} of {tried} killed, {killed / tried:.1%}")
    if not session.posargs and killed < 0.9 * tried:
        session.error("less than 90 %")


@nox.session(python=PRESENT[0], requires=["wheel"])
def fork(session: nox.Session) -> None:
    """What waits by backoff, with its maintained fork `python-backoff` in its place: it has the same import name."""
    _install_for_tests(session, _built(session, EXTRAS), *_group("tests"))
    pip = ("python", "-m", "pip", "uninstall", "--yes")
    uninstall = ("uv", "pip", "uninstall") if session.virtualenv.venv_backend == "uv" else pip
    session.run(*uninstall, "backoff", external=True, silent=True)
    session.install("python-backoff>=3")
    quick = ("retry", "pause", "attempts", "limiter", "feedback_sqs", "suppression")
    session.run("pytest", *PARALLEL, *AGAIN, *(f"tests/test_{name}.py" for name in quick))


@nox.session(python=PRESENT[0], requires=["wheel"])
def dev(session: nox.Session) -> None:
    """The heart of the suite in development mode: what is left open, or never awaited, is an error."""
    _install_for_tests(session, _built(session, EXTRAS), *_group("tests"))
    heart = ("attempts", "limiter", "calls", "sender", "sessions", "transport_smtp", "transport_ses", "portal", "relay")
    files = [f"tests/test_{name}.py" for name in heart]
    session.run("python", "-X", "dev", "-W", "error", "-m", "pytest", "-p", "no:xdist", *AGAIN, *files)


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff: style, docstrings, security rules, format; zizmor: what a workflow may do, and to what it is pinned."""
    _install(session, *_group("lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("zizmor", "--offline", "--no-progress", "--quiet", ".github")


@nox.session
def types(session: nox.Session) -> None:
    """Mypy in strict mode and pyright."""
    _install(session, "-e", f".[{EXTRAS}]", *_group("types"), *_group("tests"), *_group("bench"), "nox")
    _side_by_side(session, "mypy", "pyright")


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation as HTML; every warning is an error. Its Python blocks are run by the tests."""
    _install(session, "-e", f".[{EXTRAS}]", *_group("docs"))
    session.run("sphinx-build", "-W", "--keep-going", "-q", "-b", "html", "docs", "docs/_build/html")


@nox.session(requires=["wheel"])
def build(session: nox.Session) -> None:
    """The wheel, installed with the four core packages alone: it imports, and its command says what it needs."""
    _install(session, _built(session))
    session.run("python", "-c", "import seslimit; print(len(seslimit.__all__), 'public names')")
    session.run("seslimit", "--version", success_codes=[2])


@nox.session
def audit(session: nox.Session) -> None:
    """Known vulnerabilities among what is installed with every extra; asks PyPI for them."""
    _install(session, f".[{EXTRAS}]")
    session.install("pip-audit")
    session.run("pip-audit", "--strict", "--skip-editable", "--progress-spinner", "off")


@nox.session(requires=["wheel"])
def sbom(session: nox.Session) -> None:
    """What is installed with every extra, as a CycloneDX document: `sbom.json`. Asks nobody."""
    _install(session, _built(session, EXTRAS))
    tool = Path(session.create_tmp()).resolve() / "cyclonedx"
    session.run("python", "-m", "venv", str(tool))
    session.run(str(tool / "bin" / "pip"), "install", "--quiet", "cyclonedx-bom>=7", external=True)
    command = (str(tool / "bin" / "cyclonedx-py"), "environment", "--output-reproducible", "--output-file", "sbom.json")
    session.run(*command, str(Path(session.bin) / "python"), external=True)


@nox.session(requires=["clients"])
def bench(session: nox.Session) -> None:
    """Seslimit beside boto3, aiolimiter, django-ses, nodemailer and others; writes the docs' tables and plots."""
    _install(session, "-e", f".[{EXTRAS}]", *_group("bench"))
    session.run("python", "-m", "benchmarks.peers", *session.posargs, env=CLIENTS)
