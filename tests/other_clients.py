"""
Clients that cannot be installed beside the suite: the AWS CLI, which wants a botocore of its own, and nodemailer and
axe-core, which are JavaScript. `nox -s clients` puts them where nox keeps its things; the sessions that run the suite
say where that is.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

AWS = os.environ.get("SESLIMIT_AWS_CLI", "")
"""The command `aws`."""

MODULES = os.environ.get("SESLIMIT_NODE_MODULES", "")
"""The folder `node_modules` that has nodemailer and axe-core."""

NODE = shutil.which("node")

needs_aws = pytest.mark.skipif(not AWS, reason="needs the AWS CLI: run nox -s clients, and set SESLIMIT_AWS_CLI")
needs_node = pytest.mark.skipif(
    not (NODE and MODULES), reason="needs Node.js and its modules: run nox -s clients, and set SESLIMIT_NODE_MODULES"
)


async def aws(endpoint: str, *arguments: str) -> Any:
    """What the AWS CLI answers, asked with credentials that are nobody's."""
    environment = {
        "PATH": os.environ["PATH"],
        "AWS_ACCESS_KEY_ID": "simulated",
        "AWS_SECRET_ACCESS_KEY": "simulated",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_MAX_ATTEMPTS": "1",
        "AWS_PAGER": "",
    }
    command = [AWS, "--endpoint-url", endpoint, "--output", "json", *arguments]
    return json.loads(await _told(command, environment))


async def node(script: str, *arguments: str) -> Any:
    """What a script, which may `require` the modules, prints last, as JSON."""
    assert NODE is not None
    environment = {"PATH": os.environ["PATH"], "NODE_PATH": MODULES}
    return json.loads((await _told([NODE, "-e", script, *arguments], environment)).splitlines()[-1])


def axe() -> str:
    """The source of axe-core, which checks a page for what hinders people."""
    return (Path(MODULES) / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


async def _told(command: list[str], environment: dict[str, str]) -> str:
    process = await asyncio.create_subprocess_exec(
        *command,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(120):
            out, errors = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    assert process.returncode == 0, errors.decode()
    return out.decode()
