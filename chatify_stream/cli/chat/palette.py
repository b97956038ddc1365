"""The colour of a sender: the same one always, and readable on dark and on light."""

from __future__ import annotations

import zlib

__all__ = ["COLORS", "color_of"]

COLORS = (
    "#d75f5f",
    "#d75f00",
    "#af5f00",
    "#878700",
    "#5f8700",
    "#008700",
    "#00875f",
    "#008787",
    "#0087d7",
    "#5f5fff",
    "#875fd7",
    "#af5fd7",
    "#d700af",
    "#d7005f",
)
"""Of the 256 that terminals have; each at a contrast of 3.6 and more to black and to white."""


def color_of(name: str) -> str:
    """One of `COLORS`, the same in every process."""
    return COLORS[zlib.crc32(name.encode()) % len(COLORS)]
