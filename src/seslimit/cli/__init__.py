"""The command line; `main` is the console script `seslimit`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command of `sys.argv` and exit with its status."""
    try:
        from ._commands import run
        from ._output import let_go
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("click", "rich"):
            raise
        print("seslimit: the command line needs click and rich: run  pip install 'seslimit[cli]'.", file=sys.stderr)
        sys.exit(2)
    try:
        status = run(sys.argv[1:])
    finally:
        let_go()
    sys.exit(status)
