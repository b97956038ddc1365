"""Tests of chat/names.py."""

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
    """Any script and any sign is fine; a name stays as it is, to the letter."""
    assert check_name("room", name) == name


@pytest.mark.parametrize("what", ["room", "user"])
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "the {what} name is empty; use 1 to 128 characters"),
        ("x" * 129, "the {what} name has 129 characters; at most 128 are allowed"),
        ("🚀" * 129, "the {what} name has 129 characters; at most 128 are allowed"),
        (" a", "the {what} name ' a' begins or ends with a space, which is not allowed"),
        ("a ", "the {what} name 'a ' begins or ends with a space, which is not allowed"),
        (" ", "the {what} name ' ' begins or ends with a space, which is not allowed"),
        ("a\u3000", "the {what} name 'a\\u3000' begins or ends with a space, which is not allowed"),
        ("\u00a0a", "the {what} name '\\xa0a' begins or ends with a space, which is not allowed"),
    ],
)
def test_bad_names(what: str, name: str, why: str) -> None:
    """The text says which name it is, what is wrong, and what would be right."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is compared whole
        check_name(what, name)
    assert str(caught.value) == why.format(what=what)


@pytest.mark.parametrize("character", [*CONTROLS, *SEPARATORS, *SURROGATES])
@pytest.mark.parametrize("pattern", ["{}", "{}b", "a{}", "a{}b"])
def test_control_characters(character: str, pattern: str) -> None:
    """None is allowed, wherever it stands; the text says which, and has none itself."""
    name = pattern.format(character)
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is compared
        check_name("room", name)
    text = str(caught.value)
    assert text.endswith(f"has the control character U+{ord(character):04X}, which is not allowed")
    assert character not in text
    assert text.encode()


@given(st.text(max_size=140))
def test_what_is_allowed_can_be_sent(name: str) -> None:
    """A name that is allowed is one line of valid Unicode, within its length."""
    try:
        check_name("user", name)
    except ValueError:
        return
    assert name.encode()
    assert 1 <= len(name) <= MAX_NAME_LENGTH
    assert name.splitlines() == [name.strip()]


@pytest.mark.parametrize("message_id", ["", "1", "a b", "世界", "\n", "x" * MAX_NAME_LENGTH])
def test_good_ids(message_id: str) -> None:
    """An id is what its client likes, also nothing at all."""
    assert check_id(message_id) == message_id


@pytest.mark.parametrize(
    ("message_id", "why"),
    [
        ("x" * 129, "the id of the message has 129 characters; at most 128 are allowed"),
        ("a\ud800", "the id of the message is not valid Unicode: surrogates not allowed"),
    ],
)
def test_bad_ids(message_id: str, why: str) -> None:
    """The text says what is wrong. One id that cannot be sent would make a whole log unreadable."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is compared whole
        check_id(message_id)
    assert str(caught.value) == why
