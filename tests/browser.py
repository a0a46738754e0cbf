"""Debian's Chromium without a screen, told what to do over its DevTools protocol."""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import attrs

CHROMIUM = shutil.which("chromium")

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-port=0",
)
"""It asks nobody for anything, and as root it needs to be told that it has no sandbox."""


@attrs.define(eq=False)
class Tab:
    """One open page."""

    socket: aiohttp.ClientWebSocketResponse
    said: list[str] = attrs.field(factory=list, init=False)
    """What the page complained of: exceptions, and what its content security policy refused."""
    _number: int = attrs.field(default=0, init=False)
    _answers: dict[int, asyncio.Future[Any]] = attrs.field(factory=dict, init=False)

    async def call(self, method: str, **parameters: Any) -> Any:
        """Call a method of the protocol."""
        self._number += 1
        answer = self._answers[self._number] = asyncio.get_running_loop().create_future()
        await self.socket.send_json({"id": self._number, "method": method, "params": parameters})
        async with asyncio.timeout(120):
            return await answer

    async def value(self, script: str) -> Any:
        """What a JavaScript expression comes to; a promise is waited for."""
        told = await self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    async def until(self, script: str, seconds: float = 20.0) -> None:
        """Wait until a JavaScript expression is true."""
        async with asyncio.timeout(seconds):
            while not await self.value(script):  # noqa: ASYNC110  # another process
                await asyncio.sleep(0.1)

    async def size(self, width: int, height: int = 1000) -> None:
        """Be a screen of that size."""
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )

    async def picture(self) -> bytes:
        """A picture of the whole page, as PNG."""
        size = await self.value("(({width, height}) => ({width, height}))(document.body.getBoundingClientRect())")
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        taken = await self.call("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
        return base64.b64decode(taken["data"])

    async def listen(self) -> None:
        """Read what the browser says, until it goes away."""
        async for message in self.socket:
            told = message.json()
            if "id" in told and (answer := self._answers.pop(told["id"], None)) and not answer.done():
                if "error" in told:
                    answer.set_exception(AssertionError(told["error"]))
                else:
                    answer.set_result(told["result"])
            elif told.get("method") == "Runtime.exceptionThrown":
                self.said.append(str(told["params"]["exceptionDetails"]))
            elif told.get("method") == "Log.entryAdded" and told["params"]["entry"]["source"] in (
                "security",
                "violation",
            ):
                self.said.append(told["params"]["entry"]["text"])


@asynccontextmanager
async def opened(url: str, *, width: int = 1440) -> AsyncIterator[Tab]:
    """Open a page in a browser of its own, which is ended afterwards."""
    assert CHROMIUM is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        process = await asyncio.create_subprocess_exec(
            CHROMIUM,
            *FLAGS,
            f"--user-data-dir={folder}",
            "about:blank",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            port = await _port(Path(folder) / "DevToolsActivePort")
            async with aiohttp.ClientSession() as client, _tab(client, port) as tab:
                for domain in ("Runtime", "Log", "Page"):
                    await tab.call(f"{domain}.enable")
                await tab.size(width)
                await tab.call("Page.navigate", url=url)
                await tab.until("location.protocol === 'http:' && document.readyState === 'complete'")
                yield tab
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


@asynccontextmanager
async def _tab(client: aiohttp.ClientSession, port: str) -> AsyncIterator[Tab]:
    async with client.get(f"http://127.0.0.1:{port}/json/list") as answer:
        (page,) = [each for each in await answer.json() if each["type"] == "page"]
    async with client.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0) as socket:
        tab = Tab(socket)
        listening = asyncio.create_task(tab.listen())
        try:
            yield tab
        finally:
            listening.cancel()
            await asyncio.wait([listening])


async def _port(path: Path) -> str:
    async with asyncio.timeout(120):
        while not (path.exists() and (lines := path.read_text().splitlines())):  # noqa: ASYNC110, ASYNC240  # its file
            await asyncio.sleep(0.05)
    return lines[0]
