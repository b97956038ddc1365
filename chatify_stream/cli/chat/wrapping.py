"""How much of a text fits into a row of a terminal."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from prompt_toolkit.utils import get_cwidth

__all__ = ["cells", "cut", "wrap"]

cells = get_cwidth
"""How many cells of a row a text takes."""

_JOINER = "\u200d"
_SPACES = re.compile("( +)")


def wrap(text: str, width: int, taken: int, indent: int) -> list[str]:
    """The rows of a text, of which the first has `taken` cells of `width` used up already.

    The others are to be indented by `indent` cells, which is not done here. Breaks at spaces,
    between wide characters, and within what is longer than a row. A wide character counts as two
    cells, and one that joins the one before is not parted from it.
    """
    rows, room = [""], width - taken
    for unit in _units(text):
        size = cells(unit)
        if size <= room:
            rows[-1] += unit
            room -= size
        elif unit.isspace():
            rows.append("")
            room = width - indent
        elif size <= width - indent:
            rows.append(unit)
            room = width - indent - size
        else:
            for cluster in _clusters(unit):
                size = cells(cluster)
                if size > room:
                    rows.append("")
                    room = width - indent
                rows[-1] += cluster
                room -= size
    return [row.rstrip(" ") for row in rows[:-1]] + rows[-1:]


def cut(text: str, width: int) -> str:
    """As much of a text as fits into one row, with a mark where there was more."""
    if cells(text) <= width:
        return text
    return wrap(text, width - 1, 0, 0)[0] + "…"


def _units(text: str) -> Iterator[str]:
    """What is not broken when it fits into a row."""
    for part in _SPACES.split(text):
        if part.isascii():
            yield part
            continue
        unit, was_wide = "", False
        for cluster in _clusters(part):
            is_wide = cells(cluster) > 1
            if (is_wide or was_wide) and not _closes(cluster):
                yield unit
                unit = ""
            unit += cluster
            was_wide = is_wide
        yield unit


def _closes(cluster: str) -> bool:
    """Whether it is not to begin a row, as the commas and brackets of Chinese are not."""
    return unicodedata.category(cluster[0]) in ("Po", "Pe", "Pf")


def _clusters(text: str) -> Iterator[str]:
    """Characters, with those that combine with them."""
    cluster = ""
    for character in text:
        if cluster and (cells(character) == 0 or cluster[-1] == _JOINER):
            cluster += character
        else:
            if cluster:
                yield cluster
            cluster = character
    if cluster:
        yield cluster
