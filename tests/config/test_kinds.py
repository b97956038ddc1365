"""The kinds of values: what each accepts, reads from text, and writes."""

import math
import tomllib
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chatify_stream.config.kinds import (
    Choice,
    Integer,
    Kind,
    OptionalText,
    Rate,
    Retentions,
    Seconds,
    Switch,
    Text,
    Texts,
)
from chatify_stream.limits import Rate as RateLimit


def no_spaces(text: str) -> None:
    if " " in text:
        raise ValueError("it has a space")


def anything(text: str) -> None:
    pass


INTEGER = Integer(1, 100)
BYTES = Integer(1, 100, unit="bytes", optional=True)
RATE = Rate()
ABOVE_0 = Seconds()
FROM_0 = Seconds(allow_zero=True)
NO_LIMIT = Seconds(optional=True)
TEXT = Text("a text without spaces", no_spaces)
ANY_TEXT = Text("a text", anything)
TEXTS = Texts("a list of texts", no_spaces)
ANY_TEXTS = Texts("a list of texts", anything)
RETENTIONS = Retentions(1000)
CHOICE = Choice(("one", "two"))
SWITCH = Switch()
OPTIONAL = OptionalText("the path of a file")


@pytest.mark.parametrize(
    ("kind", "allowed"),
    [
        (INTEGER, "a whole number from 1 to 100"),
        (BYTES, 'a whole number of bytes from 1 to 100, or "none"'),
        (
            RATE,
            'a rate such as "100, then 10/s"; both numbers above 0, up to 1000000, the first whole',
        ),
        (ABOVE_0, "a number of seconds above 0, up to 86400"),
        (Seconds(maximum=99), "a number of seconds above 0, up to 99"),
        (
            RETENTIONS,
            'a list of rules such as "support-*: 1000 messages, 3600 s", up to 1000 s',
        ),
        (FROM_0, "a number of seconds from 0, up to 86400"),
        (NO_LIMIT, 'a number of seconds above 0, up to 86400, or "none"'),
        (
            Seconds(allow_zero=True, optional=True),
            'a number of seconds from 0, up to 86400, or "none"',
        ),
        (TEXT, "a text without spaces"),
        (TEXTS, "a list of texts"),
        (CHOICE, 'one of "one", "two"'),
        (SWITCH, "true or false"),
    ],
)
def test_allowed(kind: Kind, allowed: str) -> None:
    """Every kind describes the allowed values."""
    assert kind.allowed == allowed


@pytest.mark.parametrize(
    ("kind", "value", "held"),
    [
        (INTEGER, 1, 1),
        (INTEGER, 100, 100),
        (BYTES, 1, 1),
        (BYTES, "none", None),
        (BYTES, None, None),
        (RATE, "100, then 10/s", RateLimit(100, 10.0)),
        (RATE, "1000000,then 0.5 / s", RateLimit(1_000_000, 0.5)),
        (RATE, (1, 2), RateLimit(1, 2.0)),
        (ABOVE_0, 10, 10.0),
        (ABOVE_0, 0.001, 0.001),
        (ABOVE_0, 86400, 86400.0),
        (FROM_0, 0, 0.0),
        (FROM_0, -0.0, 0.0),
        (NO_LIMIT, "none", None),
        (NO_LIMIT, None, None),
        (NO_LIMIT, 2, 2.0),
        (TEXT, "", ""),
        (TEXT, "名字🎉", "名字🎉"),
        (TEXTS, [], ()),
        (TEXTS, ["a", "名"], ("a", "名")),
        (TEXTS, ("a", "b"), ("a", "b")),
        (RETENTIONS, [], ()),
        (RETENTIONS, ["a*: 0 messages, 1000 s"], (("a*", 0, 1000.0),)),
        (
            RETENTIONS,
            ["世: 界 :5 messages , 0.5 s ", "b: 1 messages, 1 s"],
            (("世: 界", 5, 0.5), ("b", 1, 1.0)),
        ),
        (RETENTIONS, (("a", 1, 2),), (("a", 1, 2.0),)),
        (CHOICE, "two", "two"),
        (SWITCH, True, True),
        (SWITCH, False, False),
    ],
)
def test_good(kind: Kind, value: Any, held: Any) -> None:
    """A good value is held in the kind's own type."""
    checked = kind.check(value)
    assert checked == held
    assert type(checked) is type(held)


OTHER_TYPES = [b"one", {}, object()]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *((INTEGER, bad) for bad in (0, 101, -1, 10**400, True, 5.0, math.nan, "5", None, [5])),
        *((BYTES, bad) for bad in (0, 101, "None", "", "10 MB", False)),
        *((RATE, bad) for bad in ("100", "100, 10/s", "then 10/s", "100, then 10", "", "none")),
        *((RATE, bad) for bad in ("0, then 1/s", "1, then 0/s", "-1, then 1/s", "1, then -1/s")),
        *((RATE, bad) for bad in ("1.5, then 1/s", "1, then nan/s", "1, then x/s", "1, thenx/s")),
        *((RATE, bad) for bad in ("1000001, then 1/s", "1, then 1000001/s", "1, then 1e400/s")),
        *((RATE, bad) for bad in (100, None, True, [1, 2], (1,), (1, 2, 3), (1.0, 2), (True, 2))),
        *((RATE, bad) for bad in ((0, 1), (1, 0), (1, None), (1, False), (1, math.nan))),
        *((ABOVE_0, bad) for bad in (0, 0.0, -0.0, -1, 86400.1, 10**400, True, False)),
        *((ABOVE_0, bad) for bad in (math.nan, math.inf, -math.inf, "none", None, "2", [2])),
        *((FROM_0, bad) for bad in (-0.1, 86401, math.nan, math.inf, False, "none", None)),
        *((NO_LIMIT, bad) for bad in (0, -1, 86401, math.nan, math.inf, True, "None", "", "2")),
        *((TEXT, bad) for bad in ("a b", "a\udcff", 1, True, None, ["a"])),
        *((TEXTS, bad) for bad in (["a", "a b"], ["\udcff"], [1], ["a", None], "a", 1, True, None)),
        *(
            (RETENTIONS, [bad])
            for bad in ("", "a", "a: 1, 2", "a: 1 messages", ": 1 messages, 1 s")
        ),
        *((RETENTIONS, [bad]) for bad in ("a: -1 messages, 1 s", "a: 1.5 messages, 1 s")),
        *((RETENTIONS, [bad]) for bad in ("a: 1 messages, 0 s", "a: 1 messages, 1001 s")),
        *((RETENTIONS, [bad]) for bad in ("\udcff: 1 messages, 1 s", "a\nb: 1 messages, 1 s")),
        *((RETENTIONS, (bad,)) for bad in (("a", 1), ("a", True, 1), (1, 1, 1), (" a", 1, 1))),
        *((RETENTIONS, bad) for bad in ("a: 1 messages, 1 s", None, 1, {}, [None], [b"a"])),
        *((CHOICE, bad) for bad in ("three", "", "One", "one ", 1, True, None, ["one"])),
        *((SWITCH, bad) for bad in (0, 1, 1.0, "true", "", None, [True])),
        *((kind, bad) for bad in OTHER_TYPES for kind in (INTEGER, ABOVE_0, NO_LIMIT, TEXT)),
        *((kind, bad) for bad in OTHER_TYPES for kind in (BYTES, RATE)),
        *((kind, bad) for bad in OTHER_TYPES for kind in (TEXTS, CHOICE, SWITCH)),
    ],
)
def test_bad(kind: Kind, value: Any) -> None:
    """Any other value is refused; a bool is not a number, and no number is text."""
    with pytest.raises(ValueError):  # noqa: PT011 - most have no text of their own
        kind.check(value)


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        (TEXT, "a b", "it has a space"),
        (TEXTS, ["a", "a b"], "it has a space"),
        (TEXT, "a\udcff", "not UTF-8 text"),
        (TEXTS, ["a\udcff"], "not UTF-8 text"),
        (RETENTIONS, ["a: 1"], "'a: 1' is not such a rule"),
        (INTEGER, 0, ""),
        (CHOICE, "three", ""),
    ],
)
def test_reason(kind: Kind, value: Any, reason: str) -> None:
    """The error contains the reason of the check function, and no text of Python."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole text is compared
        kind.check(value)
    assert str(caught.value) == reason


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (INTEGER, "5", 5),
        (INTEGER, "007", 7),
        (BYTES, "5", 5),
        (BYTES, "none", None),
        (RATE, " 5, then 1e-3/s ", RateLimit(5, 0.001)),
        (ABOVE_0, "10", 10.0),
        (ABOVE_0, "0.5", 0.5),
        (ABOVE_0, "1e-3", 0.001),
        (NO_LIMIT, "none", None),
        (TEXT, "5", "5"),
        (TEXT, "true", "true"),
        (TEXTS, "", ()),
        (TEXTS, "  ", ()),
        (TEXTS, "a", ("a",)),
        (TEXTS, "a, b ,c", ("a", "b", "c")),
        (RETENTIONS, "", ()),
        (RETENTIONS, "a,*: 1 messages, 2 s; b: 3 messages, 4 s", (("a,*", 1, 2.0), ("b", 3, 4.0))),
        (CHOICE, "one", "one"),
        (SWITCH, "true", True),
        (SWITCH, "false", False),
        (SWITCH, "TRUE", True),
        (SWITCH, "False", False),
    ],
)
def test_from_text(kind: Kind, text: str, value: Any) -> None:
    """Text of a flag or a variable stands for the value that it looks like."""
    held = kind.check(kind.from_text(text))
    assert held == value
    assert type(held) is type(value)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        *((INTEGER, bad) for bad in ("", "x", "5.0", "1e1", "0x10", "0", "101", "true")),
        *((INTEGER, bad) for bad in ("none", "9" * 5000)),
        *((BYTES, bad) for bad in ("", "None", "10 MB", "1e1")),
        *((RATE, bad) for bad in ("", "5", "x, then 1/s", f"{'9' * 5000}, then 1/s")),
        *((ABOVE_0, bad) for bad in ("", "x", "0", "-1", "nan", "inf", "-inf", "1e400", "none")),
        *((NO_LIMIT, bad) for bad in ("", "None", "null", "nan", "inf")),
        *((TEXTS, bad) for bad in ("a b", "a,b c")),
        *((CHOICE, bad) for bad in ("", "three", "ONE")),
        *((SWITCH, bad) for bad in ("", "1", "0", "yes", "on", "truE ")),
    ],
)
def test_wrong_text(kind: Kind, text: str) -> None:
    """Other text is refused, and the error has none of Python's words for it."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole text is compared
        kind.check(kind.from_text(text))
    assert str(caught.value) in ("", "it has a space")


@pytest.mark.parametrize(
    ("kind", "value", "toml"),
    [
        (INTEGER, 5, "5"),
        (BYTES, None, '"none"'),
        (RATE, (100, 10.0), '"100, then 10/s"'),
        (RATE, (1, 0.5), '"1, then 0.5/s"'),
        (ABOVE_0, 10.0, "10"),
        (ABOVE_0, 0.5, "0.5"),
        (ABOVE_0, 12345.6789, "12345.6789"),
        (ABOVE_0, 86399.999, "86399.999"),
        (FROM_0, 0.0, "0"),
        (NO_LIMIT, None, '"none"'),
        (TEXT, 'say "hi"\\\n', '"say \\"hi\\"\\\\\\n"'),
        (TEXT, "你好🎉", '"你好🎉"'),
        (TEXT, "\x00\x1f\x7f", '"\\u0000\\u001f\\u007f"'),
        (TEXTS, (), "[]"),
        (TEXTS, ("a", "b"), '["a", "b"]'),
        (RETENTIONS, (("a", 1, 2.0),), '["a: 1 messages, 2 s"]'),
        (CHOICE, "one", '"one"'),
        (SWITCH, True, "true"),
        (SWITCH, False, "false"),
    ],
)
def test_to_toml(kind: Kind, value: Any, toml: str) -> None:
    """Values are written as a person would write them."""
    assert kind.to_toml(value) == toml


def read_back(kind: Kind, value: Any) -> Any:
    return kind.check(tomllib.loads(f"key = {kind.to_toml(value)}  # comment")["key"])


@settings(deadline=None)
@given(st.text())
@example("\x7f\x00\r\n\u2028\u0085\ufeff")
@example("\\u0041\"'#")
def test_text_round_trip(text: str) -> None:
    """Any text that is written is read back the same."""
    assert read_back(ANY_TEXT, text) == text


@settings(deadline=None)
@given(st.lists(st.text()))
def test_texts_round_trip(texts: list[str]) -> None:
    """Any list of texts that is written is read back the same."""
    assert read_back(ANY_TEXTS, tuple(texts)) == tuple(texts)


@settings(deadline=None)
@given(st.none() | st.floats(0, 86400, exclude_min=True))
@example(5e-324)
@example(0.1 + 0.2)
def test_seconds_round_trip(seconds: float | None) -> None:
    """Any time that is written is read back the same, to the last digit."""
    assert read_back(NO_LIMIT, NO_LIMIT.check(seconds)) == seconds


@settings(deadline=None)
@given(st.integers(1, 100))
def test_integer_round_trip(number: int) -> None:
    """Any number that is written is read back the same."""
    assert read_back(INTEGER, number) == number


@settings(deadline=None)
@given(st.integers(1, 1_000_000), st.floats(0, 1_000_000, exclude_min=True))
@example(1, 5e-324)
def test_rate_round_trip(burst: int, per_second: float) -> None:
    """Any rate that is written is read back the same."""
    assert read_back(RATE, (burst, per_second)) == (burst, per_second)


@settings(deadline=None)
@given(st.text(alphabet=st.characters(codec="utf-8"), min_size=1), st.integers(1, 100))
def test_from_text_of_what_is_written(text: str, number: int) -> None:
    """Text and numbers given as a flag are the same as in the file."""
    assert ANY_TEXT.check(ANY_TEXT.from_text(text)) == text
    assert INTEGER.check(INTEGER.from_text(str(number))) == number


def test_optional_text() -> None:
    """A text that may be left out is written "none" then, and is never empty."""
    assert OPTIONAL.allowed == 'the path of a file, or "none"'
    for value in ("none", None):
        assert OPTIONAL.check(value) is None
    assert OPTIONAL.check(OPTIONAL.from_text("a.pem")) == "a.pem"
    assert [OPTIONAL.to_toml(value) for value in (None, "a.pem")] == ['"none"', '"a.pem"']
    for wrong in ("", "a\0b", 1, "\udcff"):
        with pytest.raises(ValueError):  # noqa: PT011 - which has no text of its own
            OPTIONAL.check(wrong)
