"""Rows of cells as lines: under each other for people, with tabs between for programs."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from .safe_text import safe, safe_field

__all__ = ["Row", "aligned", "tab_separated"]

WIDEST = 40
"""Places of a column; a longer cell pushes what follows to the right, in its own row alone."""

Row = Sequence[str | int]

_SHORT = str.maketrans({"\t": r"\t", "\n": r"\n", "\r": r"\r"})


def tab_separated(rows: Sequence[Row]) -> list[str]:
    """A line of each row."""
    return ["\t".join(safe_field(str(cell)) for cell in row) for row in rows]


def aligned(rows: Sequence[Row], head: Sequence[str] | None = None) -> list[str]:
    """The line of the `head`, and one of each row; numbers are at the right of their columns."""
    table = [[safe(str(cell).translate(_SHORT)) for cell in row] for row in rows]
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
