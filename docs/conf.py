"""Sphinx: the pages of this folder, as HTML."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "seslimit"
author = "The seslimit authors"
copyright = "2026, " + author  # noqa: A001  # the name that Sphinx reads
myst_heading_anchors = 3
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["deflist"]
napoleon_custom_sections = [("Cancelling", "returns_style"), ("Source", "returns_style")]
autodoc_member_order = "bysource"
autodoc_typehints = "description"
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "seslimit"

nitpicky = True
nitpick_ignore_regex = [
    # Of other packages; the build asks nobody for their indices.
    ("py:.*", r"(aiobotocore|aiohttp|asyncio|collections|datetime|email|os|pathlib|socket|sqlalchemy|ssl)\..+"),
    ("py:.*", r"ImproperlyConfigured|Path|Redis|SESV2Client"),
    # Protocols and unions that say what is taken, in words, where they are taken; nobody makes one.
    ("py:class", r"EventHook|Hook|Latency|Listener|Memory|Other|Seen|Stage|Store|(seslimit\..+\.)?Counting"),
    # What a public name gives back and nobody makes: its attributes are told where it is given.
    ("py:class", r"seslimit(\.[a-z]+)*\._.+"),
]


def _whole_sentences(_: Sphinx, what: str, *about: Any) -> None:
    """Put together again what napoleon takes apart: of "Reason: what it is" under an attribute it makes a type."""
    lines: list[str] = about[-1]
    types = [line for line in lines if line.startswith(":type: ")]
    if what in ("attribute", "data", "property") and types and lines[0]:
        lines[0] = f"{types[0].removeprefix(':type: ')}: {lines[0]}"
        lines.remove(types[0])


def setup(app: Sphinx) -> None:
    """Hear of each docstring after napoleon, which hears of it at 500."""
    app.connect("autodoc-process-docstring", _whole_sentences, priority=600)
