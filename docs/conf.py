"""Configuration of the documentation site: `tox -e docs` builds it with Sphinx, MyST and furo."""

from __future__ import annotations

import os
import re
from pathlib import Path

from sphinx.application import Sphinx

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent

project = "Chatify Stream"
author = "the Chatify Stream authors"
[release] = re.findall('"(.+)"', (ROOT / "chatify_stream" / "_version.py").read_text("utf-8"))

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
exclude_patterns = ["_build", "operations"]
# The blocks of these pages name the language of a test, see tests/test_docs.py.
highlight_language = "none"
smartquotes = False

# Anchors are spelled as on GitHub, so that a link works in both places.
myst_heading_anchors = 4

# A docstring puts code in single backquotes.
default_role = "code"
autodoc_default_options = {"members": True}
maximum_signature_line_length = 80
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
add_module_names = False

html_theme = "furo"
html_title = f"{project} {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_copyright = False
html_copy_source = False
html_show_sourcelink = False


def indented_is_literal(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Mark the indented parts of a docstring as literal blocks, as Markdown reads them."""
    marked: list[str] = []
    above = ""
    for line in lines:
        is_indented = line.startswith("    ")
        if is_indented and above and not above.startswith((" ", "- ", ":", "..")):
            marked.extend(["", "::", ""])
        marked.append(line)
        above = line or above
    lines[:] = marked


PAGES = {
    ROOT / "CONTRIBUTING.md": DOCS / "contributing.md",
    ROOT / "CHANGELOG.md": DOCS / "changelog.md",
}


def leave_the_repository(app: Sphinx, page: str, source: list[str]) -> None:
    """Point links to pages of the project at their copies in the site; drop links to folders.

    Such links work in the repository, where the pages are read too.
    """
    here = (DOCS / page).parent

    def replace(link: re.Match[str]) -> str:
        text, name, anchor = link.groups("")
        target = Path(os.path.normpath(here / name))
        if target in PAGES:
            return f"[{text}]({os.path.relpath(PAGES[target], here)}{anchor})"
        return text if target.is_dir() else link[0]

    source[0] = re.sub(r"\[([^\]]+)\]\(((?!https?:)[^)#\s]+)(#[^)]*)?\)", replace, source[0])


def setup(app: Sphinx) -> None:
    app.connect("autodoc-process-docstring", indented_is_literal)
    app.connect("source-read", leave_the_repository)
