"""What strangers wrote, made safe to write out.

Rules: no control character (escape sequences begin with one), no separator of lines or paragraphs,
no half of a surrogate pair, and nothing that turns the direction of text is ever written as it
is. It would move the cursor, retitle or reprogram the terminal, or make a line say what it does
not. They are written as Python writes them: `\\x1b`, `\\u202e`.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence

__all__ = ["Row", "aligned", "safe", "safe_field", "safe_json", "safe_lines", "tab_separated"]

WIDEST = 40
"""Places of a column; a longer cell pushes what follows to the right, in its own row alone."""

Row = Sequence[str | int]

_CELL_ESCAPES = str.maketrans({"\t": r"\t", "\n": r"\n", "\r": r"\r"})


def tab_separated(rows: Sequence[Row]) -> list[str]:
    """A line of each row."""
    return ["\t".join(safe_field(str(cell)) for cell in row) for row in rows]


def aligned(rows: Sequence[Row], head: Sequence[str] | None = None) -> list[str]:
    """The line of the `head`, and one of each row; numbers are at the right of their columns."""
    table = [[safe(str(cell).translate(_CELL_ESCAPES)) for cell in row] for row in rows]
    at_right = [isinstance(cell, int) for cell in rows[0]] if rows else []
    if head is not None:
        table.insert(0, list(head))
    widths = [min(max(map(_width, column)), WIDEST) for column in zip(*table, strict=True)]
    lines = []
    for row in table:
        cells = []
        for index, (cell, width) in enumerate(zip(row, widths, strict=True)):
            space = " " * (width - _width(cell))
            cells.append(space + cell if at_right and at_right[index] else cell + space)
        lines.append("  ".join(cells).rstrip())
    return lines


def _width(text: str) -> int:
    """Places on a terminal: two for the wide characters of East Asia, none for marks."""
    return len(text) if text.isascii() else sum(map(_places, text))


def _places(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_UNSAFE_FIELD = re.compile(rf"\\|{_UNSAFE.pattern}")
_FIELD_ESCAPES = {"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"}
_TAB = " " * 4


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def safe(text: str) -> str:
    """As one line for people. Not to be read back: a backslash stays as it is."""
    return _UNSAFE.sub(_escape, text)


def safe_lines(text: str) -> list[str]:
    """The lines of a text, for people."""
    return [safe(line.removesuffix("\r").replace("\t", _TAB)) for line in text.split("\n")]


def safe_field(text: str) -> str:
    r"""As one field for programs, which holds neither a tab nor a line end.

    To be read back: a backslash is `\\`, a tab `\t`, line ends `\n` and `\r`.
    """
    return _UNSAFE_FIELD.sub(lambda match: _FIELD_ESCAPES.get(match[0]) or _escape(match), text)


def safe_json(entry: Mapping[str, object]) -> str:
    """As JSON in one line, in which what is unsafe can only be within strings."""
    text = json.dumps(entry, ensure_ascii=False)
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
