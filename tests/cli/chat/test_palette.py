"""The colour of a sender."""

from __future__ import annotations

import pytest

from chatify_stream.cli.chat.lines import COLORS, color_of

LEVELS = (0, 95, 135, 175, 215, 255)
"""What the red, green and blue of the 256 colours of terminals are made of."""


def channels(color: str) -> list[int]:
    return [int(color[at : at + 2], 16) for at in (1, 3, 5)]


def luminance(color: str) -> float:
    """As WCAG 2.1 defines it."""
    red, green, blue = (
        value / 12.92 if value <= 0.03928 else ((value + 0.055) / 1.055) ** 2.4
        for value in (channel / 255 for channel in channels(color))
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("color", COLORS)
def test_readable(color: str) -> None:
    """Each colour has a contrast of at least 3.6 to black and to white, and terminals have it."""
    assert (luminance(color) + 0.05) / 0.05 >= 3.6
    assert 1.05 / (luminance(color) + 0.05) >= 3.6
    assert set(channels(color)) <= set(LEVELS)


def test_stable() -> None:
    """A name has the same colour in every process, and in every version."""
    assert [color_of(name) for name in ("ada", "grace", "小明")] == [
        "#0087d7",
        "#af5fd7",
        "#d700af",
    ]


def test_every_color_is_used() -> None:
    """Many names have all of the colours, none of them more than three times its share."""
    drawn = [color_of(f"user {number}") for number in range(1400)]
    assert set(drawn) == set(COLORS)
    assert all(drawn.count(color) <= 300 for color in COLORS)
