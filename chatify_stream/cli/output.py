"""Output for terminals and programs: escaped text, aligned columns, tab-separated fields, JSON.

Text from other users and from servers is never written unescaped. Control characters (which start
escape sequences), separators of lines and paragraphs, unpaired surrogates, and characters that
change the direction of text could move the cursor, reprogram the terminal or disguise a line. They
are written as Python writes them: `\\x1b`, `\\u202e`.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence

MAX_COLUMN_WIDTH = 40
"""Terminal cells. A longer value shifts the rest of its own row to the right."""

Row = Sequence[str | int]

_CELL_ESCAPES = str.maketrans({"\t": r"\t", "\n": r"\n", "\r": r"\r"})


def tab_separated(rows: Sequence[Row]) -> list[str]:
    """Return each row as a line of escaped fields with tabs between them."""
    return ["\t".join(safe_field(str(cell)) for cell in row) for row in rows]


def aligned(rows: Sequence[Row], head: Sequence[str] | None = None) -> list[str]:
    """Return the `head` and each row as lines of aligned columns. Numbers are right-aligned."""
    table = [[safe(str(cell).translate(_CELL_ESCAPES)) for cell in row] for row in rows]
    is_number = [isinstance(cell, int) for cell in rows[0]] if rows else []
    if head is not None:
        table.insert(0, list(head))
    widths = [
        min(max(map(_width, column)), MAX_COLUMN_WIDTH) for column in zip(*table, strict=True)
    ]
    lines = []
    for row in table:
        cells = []
        for index, (cell, width) in enumerate(zip(row, widths, strict=True)):
            space = " " * (width - _width(cell))
            cells.append(space + cell if is_number and is_number[index] else cell + space)
        lines.append("  ".join(cells).rstrip())
    return lines


def _width(text: str) -> int:
    """Return the terminal cells of a text: two for East Asian wide characters, none for marks."""
    return len(text) if text.isascii() else sum(map(_cells, text))


def _cells(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_UNSAFE_FIELD = re.compile(rf"\\|{_UNSAFE.pattern}")
_FIELD_ESCAPES = {"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"}


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def safe(text: str) -> str:
    """Return a text escaped as one line for people. A backslash is not escaped."""
    return _UNSAFE.sub(_escape, text)


def safe_lines(text: str) -> list[str]:
    """Return the lines of a text, each escaped for people. A tab becomes four spaces."""
    return [safe(line.removesuffix("\r").replace("\t", "    ")) for line in text.split("\n")]


def safe_field(text: str) -> str:
    r"""Return a text escaped as one field for programs, without tabs and line ends.

    The escapes can be reversed: a backslash is `\\`, a tab `\t`, a line end `\n` or `\r`.
    """
    return _UNSAFE_FIELD.sub(lambda match: _FIELD_ESCAPES.get(match[0]) or _escape(match), text)


def safe_json(entry: Mapping[str, object]) -> str:
    """Return an object as one line of JSON, escaped for a terminal.

    Unsafe characters can only occur in strings, where JSON has escapes for them.
    """
    text = json.dumps(entry, ensure_ascii=False)
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
