"""Rows that fit a terminal."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chatify_stream.cli.chat.screen import cut, get_cwidth, wrap

FAMILY = "👨‍👩‍👧"


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("", [""]),
        ("one", ["one"]),
        ("one two", ["one two"]),
        ("one two three four", ["one two", "three", "four"]),
        ("one     two", ["one", "two"]),
        ("one" + " " * 50 + "two", ["one", "two"]),
        ("  one", ["  one"]),
        ("one two  ", ["one two", ""]),
        ("abcdefghijklmnopq", ["abcdefgh", "ijklmn", "opq"]),
        ("a bcdefghijk", ["a bcdefg", "hijk"]),
        ("你好世界你好世界", ["你好世界", "你好世", "界"]),
        ("ab 你好世界", ["ab 你好", "世界"]),
        ("ab你好世界", ["ab你好世", "界"]),
        ("a 你好世，界", ["a 你好", "世，界"]),
        ("ab 《你好》", ["ab 《你", "好》"]),
        ("e\u0301" * 10, ["e\u0301" * 8, "e\u0301" * 2]),
    ],
)
def test_wrap(text: str, rows: list[str]) -> None:
    """Rows break at spaces, between wide characters, and inside words that are too long."""
    assert wrap(text, 10, 2, 4) == rows


def test_joined_characters() -> None:
    """A combining character stays with its base character."""
    assert wrap(FAMILY * 2, 8, 0, 0) == [FAMILY, FAMILY]


def test_a_terminal_without_room() -> None:
    """If no character fits, each has its own row, and wrapping ends."""
    assert wrap("a你b", 1, 1, 1) == ["", "a", "你", "b"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("0123456789", "0123456789"),
        ("0123456789a", "012345678…"),
        ("你" * 6, "你你你你…"),
    ],
)
def test_cut(text: str, shown: str) -> None:
    """A text longer than a row ends with an ellipsis."""
    assert cut(text, 10) == shown


@example("a你你\u200d你\u200d你", 8, 0, 3)
@given(
    st.text(st.sampled_from("ab  你，🎉\u0301\u200d"), max_size=60),
    st.integers(8, 30),
    st.integers(0, 40),
    st.integers(0, 4),
)
def test_rows_fit(text: str, width: int, taken: int, indent: int) -> None:
    """No row is wider than there is room, and nothing but spaces is lost."""
    first, *others = wrap(text, width, taken, indent)
    assert get_cwidth(first) <= max(width - taken, 0)
    assert all(get_cwidth(row) <= width - indent for row in others)
    assert "".join([first, *others]).replace(" ", "") == text.replace(" ", "")
