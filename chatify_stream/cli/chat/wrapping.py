"""Wrap text into the rows of a terminal."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from prompt_toolkit.utils import get_cwidth

cells = get_cwidth
"""Return the number of terminal cells of a text."""

_JOINER = "\u200d"
_SPACES = re.compile("( +)")


def wrap(text: str, width: int, taken: int, indent: int) -> list[str]:
    """Return the rows of a text, wrapped to `width` cells.

    `taken` cells of the first row are already used. The caller indents the other rows by `indent`
    cells. Rows break at spaces, between wide characters, and inside a word that is longer than a
    row. A wide character has two cells; combining characters stay with their base character.
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
                # Joined characters that are wider than a row are broken too.
                for part in [cluster] if cells(cluster) <= width - indent else cluster:
                    size = cells(part)
                    if size > room:
                        rows.append("")
                        room = width - indent
                    rows[-1] += part
                    room -= size
    return [row.rstrip(" ") for row in rows[:-1]] + rows[-1:]


def cut(text: str, width: int) -> str:
    """Return a text cut to one row, ending with an ellipsis if it was longer."""
    if cells(text) <= width:
        return text
    return wrap(text, width - 1, 0, 0)[0] + "…"


def _units(text: str) -> Iterator[str]:
    """Yield the parts of a text that are not broken if they fit into a row."""
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
    """Return whether a row must not start with this character, such as a Chinese comma."""
    return unicodedata.category(cluster[0]) in ("Po", "Pe", "Pf")


def _clusters(text: str) -> Iterator[str]:
    """Yield characters together with the characters that combine with them."""
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
