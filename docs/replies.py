"""Write the page of replies from the tables of the code: `python docs/replies.py > docs/replies.md`."""

from __future__ import annotations

from collections.abc import Iterator

from seslimit._meaning.replies import API, SMTP, Row

HEAD = """# What the service's replies mean

The tables by which seslimit reads a reply, made from the code (`python docs/replies.py > docs/replies.md`). The first
row that fits decides; code and words are regular expressions, without regard to case. What no row of the API knows has
the outcome that its HTTP status tells. The outcomes, and what is done about each, are in [](outcomes.md).
"""


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *_table("SMTP", SMTP), *_table("SES API", API)])


def _table(title: str, rows: tuple[Row, ...]) -> Iterator[str]:
    yield f"## {title}\n"
    yield "| code | words | where | outcome | source |"
    yield "|---|---|---|---|---|"
    for row in rows:
        stages = ", ".join(stage.value for stage in row.stages) or "anywhere"
        words = _code(row.text.pattern) if row.text.pattern else "any"
        yield f"| {_code(row.code.pattern)} | {words} | {stages} | `{row.meaning.outcome}`{_more(row)} | {row.source} |"
    yield ""


def _code(pattern: str) -> str:
    for character, entity in {"&": "&amp;", "<": "&lt;", "|": "&#124;", "*": "&#42;"}.items():
        pattern = pattern.replace(character, entity)
    return f"<code>{pattern}</code>"


def _more(row: Row) -> str:
    meaning, more = row.meaning, []
    if meaning.blocks_endpoint:
        more.append("the next attempt waits for it")
    if meaning.retry_after:
        more.append(f"after {meaning.retry_after:g} s")
    if meaning.identity is not None:
        more.append("one sender only")
    return f" ({'; '.join(more)})" if more else ""


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201
