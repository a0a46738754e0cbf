"""Lists of addresses that are not to be sent to: in a file, at SES, filled by feedback, shown and changed by hand."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import attrs
import pytest
from aiohttp import web

from seslimit import ConfigurationError
from seslimit.cli._commands import run
from seslimit.feedback import (
    AccountSuppression,
    Feed,
    NotTaken,
    SuppressedAddress,
    Suppressing,
    SuppressionFile,
    SuppressionUnavailable,
    event_of,
    suppressed_by,
    suppression_from_url,
)
from seslimit.feedback import _suppression_account as account
from seslimit.feedback._suppression import normalised

from .command_line import lines_of, written_list
from .sns_authority import document

pytestmark = pytest.mark.once

AT = datetime(2026, 11, 27, 10, tzinfo=UTC)


def entry(address: str, reason: str = "bounce") -> SuppressedAddress:
    """An address of a list."""
    return SuppressedAddress(address, reason, AT)


def names(folder: Path) -> list[str]:
    """What is in a folder."""
    return [path.name for path in folder.iterdir()]


async def addresses(suppression: SuppressionFile | AccountSuppression) -> list[str]:
    """Every address of a list."""
    return [found.address async for found in suppression.entries()]


def test_an_address_is_compared_without_capitals_and_in_punycode() -> None:
    """The domain is the same in any spelling (RFC 4343, RFC 5891); the local part by decision."""
    same = {"Ada@Example.NET", "ada@example.net.", " ada@EXAMPLE.net"}
    assert {normalised(address) for address in same} == {"ada@example.net"}
    assert normalised("ada@bücher.example") == normalised("ADA@xn--bcher-kva.example")
    assert normalised("ada+news@example.net") != normalised("ada@example.net")


@pytest.mark.parametrize("name", ["list.jsonl", "list.csv", "list.txt"])
async def test_a_file_keeps_addresses_and_reasons(tmp_path: Path, name: str) -> None:
    """Twice the same is once; another object, as another process, sees what was added and removed."""
    writer, reader = SuppressionFile(tmp_path / name), SuppressionFile(tmp_path / name)
    assert await writer.add([entry("Ada@Example.net"), entry("bo@example.net", "complaint")]) == 2
    assert await writer.add([entry("ada@example.net", "complaint")]) == 0
    assert await reader.suppressed(["ADA@example.net", "bo@example.net", "cy@example.net"]) == {
        "ADA@example.net": "bounce",
        "bo@example.net": "complaint",
    }
    assert await writer.add([entry("cy@example.net")]) == 1
    assert await reader.suppressed(["cy@example.net"]) == {"cy@example.net": "bounce"}
    assert await writer.remove(["ADA@example.net", "nobody@example.net"]) == 1
    assert await addresses(reader) == ["bo@example.net", "cy@example.net"]
    assert [found.at async for found in reader.entries()] == [AT, AT]
    assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    assert names(tmp_path) == [name]


async def test_a_file_that_is_not_there_is_no_empty_list(tmp_path: Path) -> None:
    """A misspelt name must not send to everybody."""
    missing = SuppressionFile(tmp_path / "typo.jsonl")
    with pytest.raises(SuppressionUnavailable, match=r"typo\.jsonl cannot be used \(No such file"):
        await missing.suppressed(["ada@example.net"])
    with pytest.raises(SuppressionUnavailable):
        await missing.remove(["ada@example.net"])
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.jsonl", '{"address": "ada@example.net"}\n{"address": "bo@exam\n', "line 2 .* no JSON"),
        ("a.jsonl", '{"email": "ada@example.net"}\n', "line 1 .* no address"),
        ("a.jsonl", '{"address": "ada"}\n', "line 1 .* local@domain"),
        ("a.csv", "address\nada@example.net\nbo at example\n", "line 3 .* local@domain"),
        ("a.csv", b"address\n\xff@example.net\n", "UTF-8"),
    ],
)
async def test_a_line_that_cannot_be_understood_stops_everything(
    tmp_path: Path, name: str, content: str | bytes, says: str
) -> None:
    """The line may have been somebody who complained; it is named."""
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    listed = SuppressionFile(tmp_path / name)
    for _ in range(2):  # also when it is asked again
        with pytest.raises(SuppressionUnavailable, match=says):
            await listed.suppressed(["cy@example.net"])
    with pytest.raises(SuppressionUnavailable, match=says):
        await listed.add([entry("cy@example.net")])


async def test_what_a_crash_leaves_of_a_line_is_written_over(tmp_path: Path) -> None:
    """Nobody was told that it was added, so it comes again."""
    path = tmp_path / "list.jsonl"
    await SuppressionFile(path).add([entry("ada@example.net")])
    whole = path.read_bytes()
    for length in range(1, len(whole)):
        path.write_bytes(whole + whole.replace(b"ada", b"bob")[:length])
        torn = SuppressionFile(path)
        assert set(await torn.suppressed(["ada@example.net"])) == {"ada@example.net"}
        await torn.add([entry("cy@example.net")])
        assert {"ada@example.net", "cy@example.net"} <= set(await addresses(SuppressionFile(path)))


async def test_a_last_line_without_its_end_counts_where_it_is_whole(tmp_path: Path) -> None:
    """Editors leave files so."""
    for name, content in (("a.txt", "ada@example.net\nbo@example.net"), ("a.jsonl", '{"address": "bo@example.net"}')):
        (tmp_path / name).write_text(content)
        listed = SuppressionFile(tmp_path / name)
        assert await listed.suppressed(["bo@example.net"]) == {"bo@example.net": "manual"}
        await listed.add([entry("cy@example.net")])
        assert (await addresses(SuppressionFile(tmp_path / name)))[-2:] == ["bo@example.net", "cy@example.net"]


async def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be written is not there, and what comes later is."""
    path = tmp_path / "list.jsonl"
    listed = SuppressionFile(path)
    await listed.add([entry("ada@example.net")])
    before, write = path.read_bytes(), os.write

    def half(handle: int, content: Any) -> int:
        write(handle, bytes(content)[:10])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", half)
        with pytest.raises(SuppressionUnavailable, match="No space left"):
            await listed.add([entry("bo@example.net")])
    assert path.read_bytes() == before
    await listed.add([entry("bo@example.net")])
    assert await addresses(listed) == ["ada@example.net", "bo@example.net"]


def test_writers_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    """Processes that add, and one that writes the file anew."""
    path = tmp_path / "list.jsonl"
    script = (
        "import asyncio, sys; from seslimit.feedback import SuppressionFile, SuppressedAddress as A\n"
        "async def main():\n"
        "    listed = SuppressionFile(sys.argv[1])\n"
        "    for n in range(40):\n"
        "        await listed.add([A(f'r{n}@p{sys.argv[2]}.example'), A(f'x{n}@p{sys.argv[2]}.example')])\n"
        "        await listed.remove([f'x{n}@p{sys.argv[2]}.example'])\n"
        "asyncio.run(main())\n"
    )
    workers = [subprocess.Popen([sys.executable, "-c", script, str(path), str(number)]) for number in range(3)]
    assert [worker.wait(60) for worker in workers] == [0, 0, 0]
    assert sorted(asyncio.run(addresses(SuppressionFile(path)))) == sorted(
        f"r{n}@p{number}.example" for number in range(3) for n in range(40)
    )


def test_hard_bounces_and_complaints_are_suppressed() -> None:
    """Nothing else is: a full mailbox may have room tomorrow, and "not spam" is praise."""
    wanted = {
        "hard": event_of(document("Bounce")),
        "soft": event_of(document("Bounce", bounceType="Transient")),
        "complaint": event_of(document("Complaint")),
        "praise": event_of(document("Complaint", complaintFeedbackType="not-spam")),
        "delivery": event_of(document("Delivery")),
    }
    assert {name: [one.reason for one in suppressed_by(event)] for name, event in wanted.items()} == {
        "hard": ["bounce"],
        "soft": [],
        "complaint": ["complaint"],
        "praise": [],
        "delivery": [],
    }


async def test_feedback_fills_a_list(tmp_path: Path) -> None:
    """And gives an event back that it could not write."""
    path = tmp_path / "list.jsonl"
    async with Feed([Suppressing(SuppressionFile(path))], patience=0.0) as feed:
        await feed.take(event_of(document("Bounce")))
        assert await addresses(SuppressionFile(path)) == ["ada@example.net"]
        path.write_text("damaged\n")
        with pytest.raises(NotTaken):
            await feed.take(event_of(document("Complaint")))


# SES's own list


@attrs.define
class SuppressionAPI:
    """The part of SES's API that has the account's list."""

    entries: dict[str, tuple[str, float]]
    page: int = 1000
    refuse: list[int] = attrs.field(factory=list)
    requests: list[str] = attrs.field(factory=list)
    url: str = ""

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """One request; an address in the path is percent-encoded."""
        self.requests.append(f"{request.method} {request.path_qs}")
        if self.refuse:
            return web.json_response({"message": "Too many"}, status=self.refuse.pop(0))
        address = unquote(request.raw_path.partition("?")[0].removeprefix("/v2/email/suppression/addresses").strip("/"))
        if request.method == "PUT":
            told = await request.text()
            asked = json.loads(told)
            self.entries[asked["EmailAddress"]] = (asked["Reason"], AT.timestamp())
            return web.json_response({})
        if address and address not in self.entries:
            return web.json_response({"message": "no"}, status=404, headers={"x-amzn-ErrorType": "NotFoundException"})
        if request.method == "DELETE":
            del self.entries[address]
            return web.json_response({})
        if address:
            return web.json_response({"SuppressedDestination": self._told(address)})
        begin = int(request.query.get("NextToken", "0"))
        more = {"NextToken": str(begin + self.page)} if begin + self.page < len(self.entries) else {}
        shown = list(self.entries)[begin : begin + self.page]
        return web.json_response({"SuppressedDestinationSummaries": list(map(self._told, shown)), **more})

    def _told(self, address: str) -> dict[str, object]:
        reason, at = self.entries[address]
        return {"EmailAddress": address, "Reason": reason, "LastUpdateTime": at}


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account, "PER_SECOND", 1000.0)
    for name, value in {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret"}.items():
        monkeypatch.setenv(name, value)


@asynccontextmanager
async def suppression_api(**entries: str) -> AsyncIterator[SuppressionAPI]:
    """A running one with so many addresses."""
    api = SuppressionAPI({f"{name}@example.net": (reason, AT.timestamp()) for name, reason in entries.items()})
    runner = web.ServerRunner(web.Server(api.answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    api.url = f"ses://eu-west-1?endpoint_url=http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield api
    finally:
        await runner.cleanup()


@pytest.mark.usefixtures("_quick")
async def test_the_accounts_own_list_is_read_whole_once() -> None:
    """Page by page before the first answer, however many ask (SES API v2, ListSuppressedDestinations)."""
    async with suppression_api(ada="BOUNCE", bo="COMPLAINT", cy="BOUNCE") as api:
        api.page = 2
        listed = AccountSuppression.from_url(api.url)
        both = await asyncio.gather(
            listed.suppressed(["Ada@example.net"]), listed.suppressed(["bo@example.net", "x@y.z"])
        )
        assert [*both] == [{"Ada@example.net": "bounce"}, {"bo@example.net": "complaint"}]
        assert len(api.requests) == 2
        await listed.aclose()


@pytest.mark.usefixtures("_quick")
async def test_the_accounts_own_list_is_changed_and_asked() -> None:
    """One request for each address."""
    async with suppression_api(ada="BOUNCE") as api:
        listed = AccountSuppression.from_url(api.url)
        assert await listed.add([entry("bo@example.net", "complaint"), entry("cy@example.net", "manual")]) == 2
        assert {name: reason for name, (reason, _) in api.entries.items()} == {
            "ada@example.net": "BOUNCE",
            "bo@example.net": "COMPLAINT",
            "cy@example.net": "BOUNCE",
        }
        assert await listed.remove(["bo@example.net", "nobody@example.net"]) == 1
        found = await listed.find("ada@example.net")
        assert (found, await listed.find("bo@example.net")) == (entry("ada@example.net"), None)
        await listed.aclose()


@pytest.mark.usefixtures("_quick")
async def test_a_list_that_ses_does_not_give_is_no_empty_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of it is not enough either; a throttled request is made again."""
    monkeypatch.setattr("backoff.full_jitter", lambda wait: 0.0)
    async with suppression_api(ada="BOUNCE", bo="BOUNCE") as api:
        api.page, api.refuse = 1, [429]
        listed = AccountSuppression.from_url(api.url)
        assert await listed.suppressed(["bo@example.net"]) == {"bo@example.net": "bounce"}
        await listed.aclose()
        half = AccountSuppression.from_url(api.url)
        answer = api.answer

        async def first_page_only(request: web.BaseRequest) -> web.Response:
            if "NextToken" in request.path_qs:
                return web.json_response({"message": "no"}, status=403)
            return await answer(request)

        api.refuse = [403]
        with pytest.raises(SuppressionUnavailable, match="the account's suppression list cannot be read"):
            await half.suppressed(["ada@example.net"])
        await half.aclose()


@pytest.mark.usefixtures("_quick")
async def test_what_ses_adds_later_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what is new is asked for, and messages do not wait for it."""
    async with suppression_api(ada="BOUNCE") as api:
        listed = AccountSuppression(AccountSuppression.from_url(api.url)._transport, refresh=0.0)
        await listed.suppressed(["ada@example.net"])
        api.entries["bo@example.net"] = ("COMPLAINT", AT.timestamp())
        async with asyncio.timeout(120):
            while not await listed.suppressed(["bo@example.net"]):  # noqa: ASYNC110  # nothing tells when it is read
                await asyncio.sleep(0.01)
        assert "StartDate=" in api.requests[-1]
        await listed.aclose()


@pytest.mark.usefixtures("_quick")
async def test_a_look_that_fails_later_is_logged_and_the_list_stays(caplog: pytest.LogCaptureFixture) -> None:
    """For an hour; then it is not believed any more."""
    async with suppression_api(ada="BOUNCE") as api:
        listed = AccountSuppression(AccountSuppression.from_url(api.url)._transport, refresh=0.0)
        await listed.suppressed(["ada@example.net"])
        api.refuse = [403]
        async with asyncio.timeout(120):
            while not caplog.messages:
                assert await listed.suppressed(["ada@example.net"]) == {"ada@example.net": "bounce"}
                await asyncio.sleep(0.01)
        assert "the account's suppression list cannot be read" in caplog.messages[0]
        api.refuse = [403] * 3
        listed._read_at = asyncio.get_running_loop().time() - account.STALE
        with pytest.raises(SuppressionUnavailable):
            await listed.suppressed(["ada@example.net"])
        await listed.aclose()
    gc.collect()
    assert not [message for message in caplog.messages if "never retrieved" in message]


# The command line


def test_the_command_line_keeps_a_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Add, import, list, remove, export."""
    path, other = str(tmp_path / "list.jsonl"), tmp_path / "other.csv"
    other.write_text("email,reason\nbo@example.net,complaint\nADA@example.net,bounce\n")

    def said(*arguments: str, status: int = 0) -> str:
        assert run(["suppression", *arguments]) == status
        return capsys.readouterr().out

    assert said("add", path, "ada@example.net") == "1 added, 0 were on the list before\n"
    assert said("import", path, str(other)) == "1 added, 1 were on the list before\n"
    assert said("list", path, "--reason", "complaint").startswith("bo@example.net  complaint")
    assert said("list", path, "bo@example.net", "cy@example.net", status=1).endswith(
        "cy@example.net  not on the list\n"
    )
    assert said("remove", path, "ada@example.net") == "1 removed, 0 were not on the list\n"
    assert said("export", path).splitlines()[0] == "address,reason,at"
    assert json.loads(said("export", path, "--format", "jsonl"))["address"] == "bo@example.net"
    assert run(["suppression", "add", path, "nobody"]) == 2
    assert run(["suppression", "list", str(tmp_path / "typo")]) == 2


def test_send_heeds_a_list(tmp_path: Path) -> None:
    """The report says who was left out; one that is not there is a wrong option, and nothing is sent."""
    report, listed = tmp_path / "report.jsonl", tmp_path / "list.txt"
    listed.write_text("reader1@example.net\n")
    send = ["send", str(written_list(tmp_path, 3)), "--to", "sim://?rate=100", "--report", str(report)]
    assert run([*send, "--suppress", str(tmp_path / "typo.txt")]) == 2
    assert run([*send, "--suppress", str(listed)]) == 1
    told = {line["key"]: (line["outcome"], line["attempts"], line["error"]) for line in lines_of(report)}
    assert told["k1"] == ("permanent", 0, "reader1@example.net: suppressed: manual")
    assert [told[key][0] for key in ("k0", "k2")] == ["accepted", "accepted"]


@pytest.mark.parametrize("wrong", ["smtp://example.net", "http://example.net/list"])
def test_what_is_no_list_is_one_sentence(wrong: str) -> None:
    """Not a file of that name."""
    with pytest.raises(ConfigurationError, match="names no suppression list"):
        suppression_from_url(wrong)
