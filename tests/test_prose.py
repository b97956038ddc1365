"""Hold the text that people read to plain English.

The patterns find constructions that read like a translation. A sentence that needs such words can
be rewritten, so no hit is allowed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]

ALLOWED = 0
"""Hits in the whole project; never raise it."""

PATTERNS = {
    r"\bwhoever\b": "name the person or program",
    r"\bso many\b": "write the number, or 'at most N'",
    r"\bof whom\b": "use two sentences",
    r"\b(?:is|are) no (?!longer\b)[a-z]+": "write 'is not a ...'",
    r"\bwhat (?:is|was|are|were|has|it|they|comes|came|cannot|may)\b": "name the thing",
    r"\bwho (?:is|was|has|it|comes|came|calls)\b": "name the person or program",
    r"\bhas it read\b": "name the part that reads it",
    r"\b(?:is|are|was|were|be) told\b": "name the sender: 'notifies', 'reports', 'receives'",
    r"\bwhatever (?:comes|is|it)\b": "name the thing",
    r"\bat the most\b": "write 'at most'",
    r"\blets? go of\b": "write 'release', 'discard' or 'clear'",
    r"\bin vain\b": "name the effect",
    r"\bgive or take\b": "write 'about', or the range",
    r"\b(?:he|she|his|her|him|himself|herself)\b": "write 'they', or name the role",
}
COMBINED = re.compile("|".join(f"({pattern})" for pattern in PATTERNS), re.IGNORECASE)

GENERATED = ROOT / "chatify_stream" / "messages"
PROSE = {".md", ".py", ".pyi", ".conf", ".cfg", ".yaml", ".yml", ".service"}
TOP = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"]


class Hit(NamedTuple):
    place: str
    text: str
    advice: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text!r}: {self.advice}"


def hits(text: str, name: str) -> Iterator[Hit]:
    """Yield the first hit of each line: its place, the words, and the advice."""
    advice = list(PATTERNS.values())
    for number, line in enumerate(text.splitlines(), 1):
        if match := COMBINED.search(line):
            yield Hit(f"{name}:{number}", match[0], advice[(match.lastindex or 1) - 1])


def documents() -> list[Path]:
    """Return the files with text for people: the package, the documentation and the pages above."""
    below = [
        path
        for folder in ("chatify_stream", "docs", "examples")
        for path in sorted((ROOT / folder).rglob("*"))
        if path.suffix in PROSE and GENERATED not in path.parents and "_build" not in path.parts
    ]
    return [*(ROOT / name for name in TOP), *below]


def test_plain_english() -> None:
    """The project has at most the allowed number of hits."""
    found = [
        hit
        for path in documents()
        for hit in hits(path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix())
    ]
    print(f"{len(found)} hits")
    assert len(found) <= ALLOWED, "\n".join(
        [f"{len(found)} hits, {ALLOWED} allowed; rewrite some:", *map(str, found)]
    )


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("Whoever reaches the port can read.", "Whoever"),
        ("at most so many messages", "so many"),
        ("A stream that is no session.", "is no session"),
        ("It tells what comes next.", "what comes"),
        ("Who has joined is known.", "Who has"),
        ("SIGHUP has it read again.", "has it read"),
        ("The client is told the reason.", "is told"),
    ],
)
def test_each_pattern(line: str, words: str) -> None:
    """A sentence that reads like a translation is found, with its file and line."""
    [hit] = hits(f"fine\n{line}", "page.md")
    assert (hit.place, hit.text) == ("page.md:2", words)


@pytest.mark.parametrize(
    "line",
    [
        "Return the next message, or None after the half-close.",
        "The session is no longer open.",
    ],
)
def test_plain_sentences(line: str) -> None:
    """Plain sentences are not found."""
    assert list(hits(line, "page.md")) == []
