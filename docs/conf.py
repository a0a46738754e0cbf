"""Sphinx: the pages of this folder, as HTML."""

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
