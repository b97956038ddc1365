"""Tests of rooms/names.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatify_stream.rooms import MAX_NAME_LENGTH, check_id, check_name

GOOD_NAMES = [
    "a",
    "lobby",
    "room 7",
    "世界",
    "👩\u200d🚀",
    "Zoë",
    "e\u0301",
    "a/b?c#d%e",
    "\u200f\u05d0",
    "x" * MAX_NAME_LENGTH,
    "界" * MAX_NAME_LENGTH,
    "🚀" * MAX_NAME_LENGTH,
]
CONTROLS = ["\x00", "\t", "\n", "\r", "\x1b", "\x1f", "\x7f", "\x80", "\x85", "\x9f"]
SEPARATORS = ["\u2028", "\u2029"]
SURROGATES = ["\ud800", "\udfff"]


@pytest.mark.parametrize("name", GOOD_NAMES)
def test_good_names(name: str) -> None:
    """Names in any script are valid and returned unchanged."""
    assert check_name("room", name) == name


@pytest.mark.parametrize("kind", ["room", "user"])
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "the {kind} name is empty; use 1 to 128 characters"),
        ("x" * 129, "the {kind} name has 129 characters; at most 128 are allowed"),
        ("🚀" * 129, "the {kind} name has 129 characters; at most 128 are allowed"),
        (" a", "the {kind} name ' a' begins or ends with a space, which is not allowed"),
        ("a ", "the {kind} name 'a ' begins or ends with a space, which is not allowed"),
        (" ", "the {kind} name ' ' begins or ends with a space, which is not allowed"),
        ("a\u3000", "the {kind} name 'a\\u3000' begins or ends with a space, which is not allowed"),
        ("\u00a0a", "the {kind} name '\\xa0a' begins or ends with a space, which is not allowed"),
    ],
)
def test_bad_names(kind: str, name: str, why: str) -> None:
    """The error text says which name is wrong, and how."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is compared whole
        check_name(kind, name)
    assert str(caught.value) == why.format(kind=kind)


@pytest.mark.parametrize("character", [*CONTROLS, *SEPARATORS, *SURROGATES])
@pytest.mark.parametrize("pattern", ["{}", "{}b", "a{}", "a{}b"])
def test_control_characters(character: str, pattern: str) -> None:
    """Control characters are rejected at any place; the error text names the code point only."""
    name = pattern.format(character)
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is compared
        check_name("room", name)
    text = str(caught.value)
    assert text.endswith(f"has the control character U+{ord(character):04X}, which is not allowed")
    assert character not in text
    assert text.encode()


@given(st.text(max_size=140))
def test_valid_names_can_be_sent(name: str) -> None:
    """A valid name is one line of valid Unicode of valid length."""
    try:
        check_name("user", name)
    except ValueError:
        return
    assert name.encode()
    assert 1 <= len(name) <= MAX_NAME_LENGTH
    assert name.splitlines() == [name.strip()]


@pytest.mark.parametrize("message_id", ["", "1", "a b", "世界", "\n", "x" * MAX_NAME_LENGTH])
def test_good_ids(message_id: str) -> None:
    """An id may be any text, also empty."""
    assert check_id(message_id) == message_id


@pytest.mark.parametrize(
    ("message_id", "why"),
    [
        ("x" * 129, "the id of the message has 129 characters; at most 128 are allowed"),
        ("a\ud800", "the id of the message is not valid Unicode: surrogates not allowed"),
    ],
)
def test_bad_ids(message_id: str, why: str) -> None:
    """An id that is too long or cannot be encoded is rejected."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is compared whole
        check_id(message_id)
    assert str(caught.value) == why
