"""The files in `examples/companions` are what Docker and systemd take, and their commands are seslimit's."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from seslimit.cli._commands import seslimit

pytestmark = pytest.mark.once

FILES = Path(__file__).parent.parent / "examples" / "companions"
COMPOSE = YAML(typ="safe").load(FILES / "compose.yaml")
UNITS = ("seslimit-relay", "seslimit-listmonk")


def arguments(command: str) -> list[str]:
    """What is given to seslimit in a command line."""
    words = shlex.split(command)
    return words[[Path(word).name for word in words].index("seslimit") + 1 :]


def unit_command(name: str) -> list[str]:
    """The arguments in the systemd unit."""
    found = re.search(r"^ExecStart=(.*)$", (FILES / f"{name}.service").read_text(), re.MULTILINE)
    assert found
    return arguments(found[1])


def compose_command() -> list[str]:
    """The arguments in the compose file."""
    command: list[str] = COMPOSE["services"]["seslimit"]["command"]
    return command


def test_the_compose_file_is_one() -> None:
    """By the schema of the Compose specification."""
    tool = str(Path(sys.executable).with_name("check-jsonschema"))
    command = [tool, "--builtin-schema", "vendor.compose-spec", str(FILES / "compose.yaml")]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout


def test_every_service_and_volume_of_the_compose_file_is_in_it() -> None:
    """What the schema cannot see: a name that leads nowhere."""
    services = COMPOSE["services"]
    named = {name for service in services.values() for name in service.get("depends_on", ())}
    named |= {
        service["network_mode"].removeprefix("service:") for service in services.values() if "network_mode" in service
    }
    mounted = {volume.partition(":")[0] for service in services.values() for volume in service.get("volumes", ())}
    assert named <= set(services)
    assert mounted == set(COMPOSE["volumes"])


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="needs systemd-analyze, of Debian's package systemd"
)
@pytest.mark.parametrize("name", UNITS)
def test_the_units_are_some(tmp_path: Path, name: str) -> None:
    """By systemd's own check, with a program that this machine has; the socket belongs to the service of its name."""
    units = [tmp_path / f"{name}.service", tmp_path / f"{name}.socket"]
    for unit in units:
        text = (FILES / unit.name).read_text()
        unit.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.MULTILINE))
    ended = subprocess.run(["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("name", UNITS)
def test_socket_and_service_have_one_address(name: str) -> None:
    """The one that systemd listens on is the one that its command would."""
    words = unit_command(name)
    listen = words[words.index("--listen") + 1]
    assert f"ListenStream={listen}\n" in (FILES / f"{name}.socket").read_text()
    assert "Type=notify\n" in (FILES / f"{name}.service").read_text()


@pytest.mark.parametrize(
    ("words", "port"),
    [(unit_command("seslimit-relay"), 2587), (unit_command("seslimit-listmonk"), 8899), (compose_command(), 2587)],
    ids=["relay", "listmonk", "compose"],
)
def test_the_commands_are_seslimits(words: list[str], port: int) -> None:
    """Every option is known."""
    command = seslimit.commands[words[0]]
    context = command.make_context(
        words[0], [word.replace("${AWS_REGION:-eu-west-1}", "eu-west-1") for word in words[1:]]
    )
    assert context.params["listen"] == f"127.0.0.1:{port}"
    assert context.params["to"] == "ses://eu-west-1"


def test_the_image_has_the_extras_that_its_commands_need() -> None:
    """Both companions."""
    assert "'seslimit[relay,listmonk]'" in (FILES / "Dockerfile").read_text()
    assert CliRunner().invoke(seslimit, ["relay", "--help"]).exit_code == 0
