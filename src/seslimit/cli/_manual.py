"""
The man page, made of the commands' own help: `python -m seslimit.cli._manual > man/seslimit.1`.

A test compares it with the file that is packaged, so that neither can be forgotten.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

from ._commands import seslimit


def page() -> str:
    """The page in the macros of man(7)."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield '.TH SESLIMIT 1 "" "seslimit" "User commands"'
    yield from (".SH NAME", r"seslimit \- send mail through Amazon SES at exactly the rate the account is allowed")
    yield from (".SH SYNOPSIS", r".B seslimit", r".I COMMAND", r"[\fIOPTION\fR]...")
    yield from (".SH DESCRIPTION", _escaped(_help(seslimit)), ".SH COMMANDS")
    for path, command in _commands(seslimit, ()):
        yield from _command(path, command)
    yield from (".SH SEE ALSO", "The documentation: docs/ of the project, and")
    yield from (r".B seslimit COMMAND \-\-help", "for one command.")


def _commands(group: click.Group, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name in sorted(group.commands):
        command = group.commands[name]
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from _commands(command, (*path, name))


def _command(path: tuple[str, ...], command: click.Command) -> Iterator[str]:
    context = click.Context(command, info_name=" ".join(path))
    usage = " ".join(command.collect_usage_pieces(context))
    yield f".SS {_escaped(' '.join(('seslimit', *path)))}"
    yield f".B seslimit {_escaped(' '.join(path))} {_escaped(usage)}"
    for paragraph in _help(command).split("\n\n"):
        yield from (".PP", _escaped(" ".join(paragraph.split())))
    for parameter in command.params:
        record = parameter.get_help_record(context)
        if record is not None:
            yield from (".TP", f".B {_escaped(record[0])}", _escaped(record[1]))


def _help(command: click.Command) -> str:
    return inspect.cleandoc(command.help or "")


def _escaped(text: str) -> str:
    """Text that is nothing but text to troff."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join(f"\\&{line}" if line.startswith((".", "'")) else line for line in text.split("\n"))


if __name__ == "__main__":
    print(page(), end="")
