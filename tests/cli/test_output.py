"""Text of strangers, made safe."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatify_stream.cli.output import safe, safe_field, safe_json, safe_lines

DIRECTION = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}

ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()))


def is_safe(text: str) -> bool:
    return not any(
        unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
        or unicodedata.bidirectional(character) in DIRECTION
        for character in text
    )


def unescaped(field: str) -> str:
    """Decode a field as its readers do."""
    return field.encode("latin-1", "backslashreplace").decode("unicode_escape")


@pytest.mark.parametrize("text", ["", "hello", "小明 🎉 👨‍👩‍👧", "שלום", "a b", r"C:\new"])
def test_text_that_is_safe(text: str) -> None:
    """Safe text is unchanged: all scripts, emoji with joiners, backslashes."""
    assert safe(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", r"\x1b[2J"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("\x90q\x9c", r"\x90q\x9c"),
        ("a\rb\x08c\x7f", r"a\x0db\x08c\x7f"),
        ("a\nb", r"a\x0ab"),
        ("\u202etxt.exe", r"\u202etxt.exe"),
        ("\u2066a\u2069", r"\u2066a\u2069"),
        ("\u2028\u2029\x85", r"\u2028\u2029\x85"),
        ("\ud800", r"\ud800"),
    ],
)
def test_text_that_is_not(text: str, shown: str) -> None:
    """Characters that would affect a terminal are escaped."""
    assert safe(text) == shown


@given(ANY_TEXT)
def test_any_text(text: str) -> None:
    """Any text in any form contains nothing that affects a terminal."""
    assert is_safe(safe(text))
    assert is_safe(safe_field(text))
    assert is_safe(safe_json({"text": text}))
    assert all(is_safe(line) for line in safe_lines(text))


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a", ["a"]),
        ("a\nb\r\n\nc\r", ["a", "b", "", "c"]),
        ("\ta\tb", ["    a    b"]),
        ("a\rb\u2028c", [r"a\x0db\u2028c"]),
    ],
)
def test_lines(text: str, lines: list[str]) -> None:
    """A text has several lines only where its sender ended one; tabs become spaces."""
    assert safe_lines(text) == lines


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("a b", "a b"),
        ("a\tb\nc\r\n", r"a\tb\nc\r\n"),
        ("\\", r"\\"),
        (r"\t", r"\\t"),
        ("\x1b\u202e", r"\x1b\u202e"),
    ],
)
def test_field(text: str, field: str) -> None:
    """A field holds neither a tab nor a line end."""
    assert safe_field(text) == field


@given(ANY_TEXT)
def test_fields_are_read_back(text: str) -> None:
    """A field can be decoded to its text."""
    assert unescaped(safe_field(text)) == text


@given(ANY_TEXT)
def test_json_is_read_back(text: str) -> None:
    """A line of JSON can be decoded to its text, and is one line."""
    line = safe_json({"text": text, "offset": 1})
    assert json.loads(line) == {"text": text, "offset": 1}
    assert len(line.splitlines()) == 1
