"""`seslimit send list.csv --template`: a row is a message, and what a column holds is never more than a value."""

from __future__ import annotations

import asyncio
import email
import email.policy
import json
import re
import subprocess
import sys
from email.message import EmailMessage
from pathlib import Path

import pytest

from seslimit import ConfigurationError, Message
from seslimit.cli import _manual
from seslimit.cli._commands import seslimit
from seslimit.cli._inputs import BadEntry, Entry, Reading, open_input
from seslimit.cli._template import Template, table_input

from .command_line import ended, outcomes, started

pytestmark = pytest.mark.once

ROOT = Path(__file__).parent.parent
TEMPLATE = """From: Meadow News <news@example.org>
To: {{ name }} <{{ email }}>
Subject: Hello {{ name }}
List-Unsubscribe: <https://example.org/u/{{ id }}>

Hello {{ name }}
"""
ROWS = "email,name,id\nada@example.net,Ada,7\n"


def read(folder: Path, rows: str | bytes, template: str = TEMPLATE) -> list[Entry]:
    """The entries of a table."""
    (folder / "list.csv").write_bytes(rows if isinstance(rows, bytes) else rows.encode())
    (folder / "message.eml.j2").write_text(template, encoding="utf-8")
    source = table_input(str(folder / "list.csv"), Template.read(folder / "message.eml.j2"))

    async def entries() -> list[Entry]:
        return [entry async for entry in source.read(Reading())]

    return asyncio.run(entries())


def only(folder: Path, rows: str | bytes, template: str = TEMPLATE) -> tuple[Message, EmailMessage]:
    """The one message of a table, and what a reader sees of it."""
    (entry,) = read(folder, rows, template)
    assert isinstance(entry, Message), entry
    parsed = email.message_from_bytes(entry.as_bytes(), policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    return entry, parsed


def test_a_row_is_a_message(tmp_path: Path) -> None:
    """Its columns are in the headers and in the text."""
    message, parsed = only(tmp_path, ROWS)
    assert (message.mail_from, message.recipients, message.key) == (
        "news@example.org",
        ("ada@example.net",),
        "list.csv:2",
    )
    assert (parsed["To"], parsed["Subject"]) == ("Ada <ada@example.net>", "Hello Ada")
    assert parsed.get_content() == "Hello Ada\r\n"


@pytest.mark.parametrize("name", ["Lovelace, Ada", "Ada <eve@example.com>, x", 'A "Countess" B', "Žofie", "a@b.org"])
def test_a_name_is_a_name_whatever_is_in_it(tmp_path: Path, name: str) -> None:
    """A comma parts no recipients, and a bracket makes no address."""
    quoted = name.replace('"', '""')
    message, parsed = only(tmp_path, f'email,name,id\nada@example.net,"{quoted}",7\n')
    assert message.recipients == ("ada@example.net",)
    assert [(each.display_name, each.addr_spec) for each in parsed["To"].addresses] == [(name, "ada@example.net")]
    assert parsed["Subject"] == f"Hello {name}"


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ('ada@example.net,"Ada\r\nBcc: eve@example.com",7', "a line break or another control character"),
        ('"ada@example.net, eve@example.com",Ada,7', "is more than one address"),
        ("Eve <eve@example.com>,Ada,7", "is more than one address"),
        ('ada@example.net,Ada,"7>, <https://evil.example"', "is more than one address or link"),
        ("ada@example.net,Ada\x020\x03,7", "control character"),
        ("nobody,Ada,7", "nobody"),
        ("ada@example.net,Ada", "2 columns, and the first one 3"),
    ],
    ids=["line break", "two addresses", "name and address", "a link", "token", "no address", "columns"],
)
def test_a_value_that_would_be_more_than_a_value_is_refused(tmp_path: Path, row: str, words: str) -> None:
    """With its line; the others are not."""
    bad, good = read(tmp_path, f"email,name,id\n{row}\nada@example.net,Ada,7\n")
    assert isinstance(bad, BadEntry)
    assert words in str(bad)
    assert isinstance(good, Message)


def test_a_name_that_is_no_column_is_an_error(tmp_path: Path) -> None:
    """Not an empty place in a million letters."""
    (entry,) = read(tmp_path, ROWS, TEMPLATE + "{{ nmae }}")
    assert isinstance(entry, BadEntry)
    assert "'nmae' is undefined" in str(entry)


@pytest.mark.parametrize(
    "text", ["{{ ''.__class__.__mro__ }}", "{{ name.__init__.__globals__ }}", "{% include '/etc/passwd' %}"]
)
def test_a_template_reaches_nothing_but_its_row(tmp_path: Path, text: str) -> None:
    """Source: Jinja2, "Sandbox", read 2026-11."""
    (entry,) = read(tmp_path, ROWS, TEMPLATE + text)
    assert isinstance(entry, BadEntry)


def test_values_are_escaped_in_html(tmp_path: Path) -> None:
    """Where the template says that it is HTML; in its headers they are not."""
    template = TEMPLATE.replace("\n\nHello", "\nContent-Type: text/html\n\n<p>Hello")
    _, parsed = only(tmp_path, "email,name,id\nada@example.net,A & B,7\n", template)
    assert parsed.get_content_type() == "text/html"
    assert "<p>Hello A &amp; B" in parsed.get_content()


def test_a_header_without_a_value_is_left_out(tmp_path: Path) -> None:
    """So that one template serves rows with and without a Cc."""
    template = TEMPLATE.replace("Subject", "Cc: {% if cc %}{{ cc }}{% endif %}\nSubject")
    rows = "email,name,id,cc\nada@example.net,Ada,7,\nada@example.net,Ada,7,eve@example.net\n"
    entries = read(tmp_path, rows, template)
    assert [entry.recipients for entry in entries if isinstance(entry, Message)] == [
        ("ada@example.net",),
        ("ada@example.net", "eve@example.net"),
    ]


def test_a_column_with_blanks_is_in_row(tmp_path: Path) -> None:
    """As spreadsheets name them; with semicolons, as they write them where the comma is for decimals."""
    template = TEMPLATE.replace("name", "row['First name']").replace("email", "row['E-mail']").replace("id", "row.id")
    message, parsed = only(tmp_path, "\ufeffE-mail;First name;id;key\nada@example.net;Ada;7;k-1\n", template)
    assert (message.key, parsed["Subject"]) == ("k-1", "Hello Ada")


def test_a_line_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    """The next one is read all the same."""
    bad, good = read(tmp_path, b"email,name,id\nada@example.net,Zo\xeb,7\nada@example.net,Ada,7\n")
    assert "not UTF-8" in str(bad)
    assert isinstance(good, Message)


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("Hello\n\nx", "line 1 of the template .* is no header"),
        ("From: {{ x\n\nx", "is none"),
        ("From: a@b.example\n\n{% if %}", "is none"),
    ],
)
def test_a_template_that_is_none_is_refused_before_anything_is_sent(tmp_path: Path, template: str, words: str) -> None:
    """With what is wrong with it."""
    with pytest.raises(ConfigurationError, match=words):
        read(tmp_path, ROWS, template)


@pytest.mark.parametrize("rows", ["", "email,email\n", "email,\nada@example.net,\n"])
def test_a_table_without_names_is_refused(tmp_path: Path, rows: str) -> None:
    """Or nobody would know what is what."""
    with pytest.raises(ConfigurationError, match="has to name the columns"):
        read(tmp_path, rows)


@pytest.mark.parametrize(
    ("rows", "words"), [('"email"x,name\n', "is no CSV"), ('{"key": 1}\n', "leave --template out")]
)
def test_what_is_no_table_is_told_so(tmp_path: Path, rows: str, words: str) -> None:
    """Before anything is read of it."""
    with pytest.raises(ConfigurationError, match=words):
        read(tmp_path, rows)


def test_a_table_without_a_template_is_told_so(tmp_path: Path) -> None:
    """It is a known kind, and not enough."""
    (tmp_path / "list.csv").write_text(ROWS)
    with pytest.raises(ConfigurationError, match="give --template FILE"):
        open_input(str(tmp_path / "list.csv"))


@pytest.fixture
def table(tmp_path: Path) -> list[object]:
    """A table of five rows, and its template."""
    rows = "".join(f"reader{number}@example.net,Reader {number},{number}\n" for number in range(5))
    (tmp_path / "list.csv").write_text("email,name,id\n" + rows)
    (tmp_path / "message.eml.j2").write_text(TEMPLATE)
    return ["send", tmp_path / "list.csv", "--template", tmp_path / "message.eml.j2", "--to", "sim://"]


def test_a_preview_shows_three_messages_and_sends_none(table: list[object]) -> None:
    """As they would go out."""
    status, output, errors = ended(started(*table, "--preview"))
    assert (status, errors) == (0, "")
    assert output.count("Subject: Hello Reader") == 3
    assert "accepted" not in output


def test_a_dry_run_says_who_is_suppressed(tmp_path: Path) -> None:
    """It counts what send would do: addresses of the list are left out, and messages that have no others."""
    path = tmp_path / "list.jsonl"
    lines = [
        {"from": "a@example.org", "to": to, "text": "Hi"}
        for to in (["b@example.net"], ["b@example.net", "c@example.net"])
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "out.txt").write_text("b@example.net\n")
    command = ("send", path, "--to", "sim://1", "--suppress", tmp_path / "out.txt", "--dry-run")
    told = "2 messages to 3 recipients; 2 of them suppressed, and 1 message with nobody else; nothing was sent.\n"
    assert ended(started(*command)) == (0, told, "")
    figures = {"messages": 2, "recipients": 3, "suppressed": 2}
    assert json.loads(ended(started(*command, "--json"))[1]) == figures


def test_a_dry_run_counts_and_sends_none(table: list[object]) -> None:
    """Everything is checked."""
    assert ended(started(*table, "--dry-run")) == (0, "5 messages to 5 recipients; nothing was sent.\n", "")


def test_a_limit_sends_so_many_and_the_next_run_goes_on(table: list[object], tmp_path: Path) -> None:
    """Two first, to see how it goes; then the rest."""
    report = tmp_path / "report.jsonl"
    status, _, _ = ended(started(*table, "--limit", 2, "--report", report))
    assert (status, outcomes(report)) == (0, {"accepted": 2})
    status, _, _ = ended(started(*table, "--resume", "--report", report))
    assert (status, outcomes(report)) == (0, {"accepted": 5})


def test_the_examples_are_written_where_one_asks_for_them(tmp_path: Path) -> None:
    """And not over what is there."""
    assert ended(started("examples", tmp_path / "new"))[0] == 0
    assert (tmp_path / "new" / "monitoring" / "grafana.json").is_file()
    status, _, errors = ended(started("examples", tmp_path / "new"))
    assert (status, "is not empty" in errors) == (2, True)


def test_the_man_page_has_every_command_and_option() -> None:
    """As it is made: `python -m seslimit.cli._manual > man/seslimit.1` before a release; a text begins no macro."""
    made = _manual.page()
    for name, command in seslimit.commands.items():
        assert "\n.SS seslimit " + name.replace("-", "\\-") + "\n" in made
        for parameter in command.params:
            assert all(option.replace("-", "\\-") in made for option in parameter.opts if option.startswith("-"))
    macros = {line.split()[0] for line in made.splitlines() if line.startswith((".", "'"))}
    assert macros <= {".TH", ".SH", ".SS", ".B", ".I", ".PP", ".TP"}
    assert (ROOT / "man" / "seslimit.1").read_text().splitlines()[0] == made.splitlines()[0]


@pytest.mark.parametrize("name", ["send", "report", "demo", "doctor", "relay", "listmonk", "work"])
def test_the_page_shows_every_option_where_a_command_is_described(name: str) -> None:
    """In the synopsis, which people read instead of `--help`."""
    page = (ROOT / "docs" / "cli.md").read_text()
    blocks = re.findall(r"```console\n(.*?)```", page, re.DOTALL)
    commands = [command for block in blocks for command in re.split(r"\n(?=seslimit )", block)]
    synopses = [command for command in commands if command.startswith(f"seslimit {name} ") and "[--json]" in command]
    missing = {parameter.opts[0] for parameter in seslimit.commands[name].params if parameter.opts[0].startswith("-")}
    (shown,) = synopses
    assert missing - {*re.findall(r"--[a-z0-9-]+", shown.replace("--no-unsubscribe", "--unsubscribe"))} == set()


FILES = {"bash": "seslimit.bash", "zsh": "_seslimit", "fish": "seslimit.fish"}


@pytest.mark.parametrize("shell", FILES)
def test_a_shell_is_told_how_to_complete(shell: str) -> None:
    """By the command, and by the files that are installed beside it."""
    status, output, _ = ended(started("completion", shell))
    assert (status, "_SESLIMIT_COMPLETE" in output) == (0, True)
    assert "_SESLIMIT_COMPLETE" in (ROOT / "man" / "completion" / FILES[shell]).read_text()


def test_bash_completes_options(tmp_path: Path) -> None:
    """The program is asked with the words that are there."""
    command = Path(sys.executable).with_name("seslimit")
    asked = f"COMP_WORDS='seslimit send --te' COMP_CWORD=2 _SESLIMIT_COMPLETE=bash_complete {command}"
    found = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert found.stdout == "plain,--template\n"
