"""The live page in a real browser: it shows what happens, can be read by everybody, and says when it is old."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from seslimit import Limiter, Message, Outcome, Sender, SendQuota
from seslimit.observe import Observer, WebServer, serve
from seslimit.testing import FakeTransport

from .browser import CHROMIUM, Tab, opened
from .other_clients import axe, needs_node

pytestmark = [pytest.mark.once, pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")]

MESSAGE = Message("news@example.org", ("ada@example.net",), b"Subject: x\r\n\r\nHi", "ada-7")


@asynccontextmanager
async def watched() -> AsyncIterator[tuple[WebServer, Sender, Observer]]:
    """A sender that has sent 30 messages, of which one was throttled and one failed."""
    answers = iter([Outcome.THROTTLED, Outcome.PERMANENT])
    observer = Observer("send to <b>ses://eu-west-1</b>")
    transport = FakeTransport(lambda _: next(answers, None))
    async with Sender(transport, limiter=Limiter(200), hooks=[observer]) as sender:
        observer.watch(sender)
        observer.total = lambda: 40
        sender.limiter.quota_figures(SendQuota(50_000, 200, 40_000))
        async with serve("127.0.0.1:0", observer) as server:
            async for _ in sender.send_many([MESSAGE] * 30):
                pass
            yield server, sender, observer


async def texts(tab: Tab, *names: str) -> list[Any]:
    """What is written at these places."""
    return [await tab.value(f"document.getElementById('{name}').textContent") for name in names]


async def test_the_page_shows_what_happens_and_goes_on_by_itself() -> None:
    """Numbers, plots, the forecast of the day; a title is text, never markup; its own policy refuses nothing of it."""
    async with watched() as (server, sender, observer), opened(server.url) as tab:
        await tab.until("document.getElementById('accepted').textContent === '29'")
        shown = await texts(tab, "title", "throttled", "failed", "of-total")
        assert shown == ["send to <b>ses://eu-west-1</b>", "1", "1", "30 of 40 messages"]
        assert "40,029 used; 9,971 left" in (await texts(tab, "quota-now"))[0]
        assert await tab.value("document.querySelector('#p-rate .line.rate').getAttribute('d').startsWith('M')")
        async for _ in sender.send_many([MESSAGE] * 5):
            pass
        sender.limiter.hold("maintenance")
        await tab.until("document.getElementById('accepted').textContent === '34'")
        assert (await texts(tab, "status"))[0] == "paused: maintenance"
        painted = await tab.value("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        assert painted < 5_000  # under 1 s on a machine that does nothing else
        assert await tab.value("performance.getEntriesByType('resource').every(r => r.name.includes('/data'))")
        assert tab.said == []
        assert observer.counts.ended == 35


async def test_the_page_can_be_read_on_a_telephone_and_on_a_desk() -> None:
    """Nothing is wider than the screen at 375 and at 1440 pixels, and no text smaller than 12."""
    async with watched() as (server, _, _), opened(server.url) as tab:
        await tab.until("document.getElementById('accepted').textContent === '29'")
        for width in (375, 1440):
            await tab.size(width)
            await asyncio.sleep(0.3)
            assert await tab.value("document.documentElement.scrollWidth") == width
            sizes = "[...document.querySelectorAll('main *')].map(e => parseFloat(getComputedStyle(e).fontSize))"
            assert min(await tab.value(sizes)) >= 12


async def test_everything_has_a_name_for_who_does_not_see_it() -> None:
    """Each plot says its figures, each control what it is for, and all controls are reached by the keyboard."""
    async with watched() as (server, _, _), opened(server.url) as tab:
        await tab.until("document.getElementById('accepted').textContent === '29'")
        await tab.call("Accessibility.enable")
        nodes = (await tab.call("Accessibility.getFullAXTree"))["nodes"]
        named = [
            (node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if not node.get("ignored")
        ]
        wanted = {"image", "link", "radio", "progressbar", "region", "figure"}
        nameless = [role for role, name in named if role in wanted and not name]
        assert nameless == []
        assert ("group", "Time shown") in named
        images = [name for role, name in named if role == "image"]
        assert [name.split(":")[0] for name in images] == ["Rate", "Daily quota", "Throttles", "Queue"]
        reached = []
        for _ in range(8):
            for kind in ("keyDown", "keyUp"):
                await tab.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
            reached.append(await tab.value("document.activeElement.textContent || document.activeElement.id"))
        assert reached[:3] == ["Skip to the figures", "s300", "The last seconds as a table"]


@needs_node
async def test_axe_finds_nothing_to_complain_of() -> None:
    """No rule of axe-core's is broken, on a telephone or a desk. Source: github.com/dequelabs/axe-core, "rules"."""
    async with watched() as (server, _, _), opened(server.url) as tab:
        await tab.until("document.getElementById('accepted').textContent === '29'")
        await tab.call("Runtime.evaluate", expression=axe())
        for width in (375, 1440):
            await tab.size(width)
            found = "axe.run().then(r => [r.passes.length, r.violations.map(v => v.id + ': ' + v.nodes[0].html)])"
            passed, violated = await tab.value(found)
            assert passed > 10
            assert violated == []


async def test_the_page_says_when_nobody_answers_and_goes_on_when_somebody_does() -> None:
    """A program that ended, and another one at the same address: its figures are its own."""
    async with AsyncExitStack() as stack:
        async with watched() as (server, _, _):
            address = str(server.address)
            tab = await stack.enter_async_context(opened(server.url))
            await tab.until("document.getElementById('accepted').textContent === '29'")
        await tab.until("document.body.classList.contains('gone')")
        assert (await texts(tab, "status"))[0].startswith("no answer for ")
        async with serve(address, Observer("the next one")):
            await tab.until("document.getElementById('accepted').textContent === '0'")
            assert await texts(tab, "title", "status") == ["the next one", "idle"]


async def test_the_page_asks_once_a_second_however_long_an_answer_takes() -> None:
    """An answer that takes 0.6 s is not waited for on top of the second."""
    slow = """(() => {
        const real = window.fetch; window.asked = [];
        window.fetch = async (...what) => {
            asked.push(performance.now());
            await new Promise(done => setTimeout(done, 600));
            return real(...what);
        };
    })()"""
    async with watched() as (server, _, _), opened(server.url) as tab:
        await tab.until("document.getElementById('accepted').textContent === '29'")
        await tab.value(slow)
        await tab.until("asked.length > 4")
        assert await tab.value("Math.min(...asked.slice(1).map((at, i) => at - asked[i]))") < 1_400
