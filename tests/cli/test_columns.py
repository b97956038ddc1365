"""Rows as lines."""

import pytest

from chatify_stream.cli.output import Row, aligned, tab_separated

HEAD = ("NAME", "USERS")


@pytest.mark.parametrize(
    ("rows", "lines"),
    [
        ([], []),
        ([("a", 1)], ["a\t1"]),
        ([("小明", 1), ("", 0)], ["小明\t1", "\t0"]),
        ([("a\tb\nc\rd", 1)], ["a\\tb\\nc\\rd\t1"]),
        ([("\x1b[31m\x9b\x7f\0", 1)], ["\\x1b[31m\\x9b\\x7f\\x00\t1"]),
        ([("C:\\new", 1)], ["C:\\\\new\t1"]),
        ([("\u2028\u202e👨‍👩‍👧", 1)], ["\\u2028\\u202e👨‍👩‍👧\t1"]),
    ],
)
def test_tab_separated(rows: list[Row], lines: list[str]) -> None:
    """Each row is one line whose cells can be restored."""
    assert tab_separated(rows) == lines


def test_aligned() -> None:
    """Columns are as wide as their cells need, numbers at the right, the last not filled up."""
    assert aligned([("lobby", 3, "x"), ("a", 1000, "long text")], ("NAME", "USERS", "TEXT")) == [
        "NAME   USERS  TEXT",
        "lobby      3  x",
        "a       1000  long text",
    ]


def test_texts_of_several_lines() -> None:
    """For people, a text of several lines is one line, and a backslash is unchanged."""
    assert aligned([(1, "a\nb\tc\\")]) == ["1  a\\nb\\tc\\"]


def test_without_head() -> None:
    """Later pages have no head."""
    assert aligned([("lobby", 3), ("a", 10)]) == ["lobby   3", "a      10"]


def test_nothing() -> None:
    """Without rows there is the head alone, and without that nothing."""
    assert aligned([], HEAD) == ["NAME  USERS"]
    assert aligned([]) == []


@pytest.mark.parametrize(
    ("name", "places"),
    [("小明", 4), ("ＡＢ", 4), ("é", 1), ("e\u0301", 1), ("🎉", 2), ("\x1b", 4), ("क\u094d", 1)],
)
def test_width(name: str, places: int) -> None:
    """Wide characters take two cells, marks none, and escapes their own length."""
    first, second = aligned([(name, 1), ("x" * 10, 2)])
    assert first.endswith(" " * (10 - places) + "  1")
    assert second == "x" * 10 + "  2"


def test_a_long_cell() -> None:
    """One very long name does not move the numbers of other rows."""
    first, second = aligned([("x" * 128, 1), ("a", 2)])
    assert first == "x" * 128 + "  1"
    assert second == "a" + " " * 41 + "2"


@pytest.mark.parametrize("text", ["\x1b]0;title\x07", "a\nb", "\x9b31m", "\r\x08", "\u202e"])
def test_nothing_is_obeyed(text: str) -> None:
    """Nothing that a terminal obeys gets through, in either form."""
    for line in (*aligned([(text, 1)]), *tab_separated([(text,)])):
        assert line.isprintable()
