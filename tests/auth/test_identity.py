"""Identities, and rights by patterns of rooms."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatify_stream import UsageError
from chatify_stream.auth import RIGHTS, Grants, Identity

GRANTS = Grants.of(
    {"lobby": ["join", "send"], "team-*": ["join", "read"], "team-x": ["send"], "ops-?": ["admin"]}
)


@pytest.mark.parametrize(
    ("room", "rights"),
    [
        ("lobby", {"join", "send"}),
        ("Lobby", set()),
        ("lobby2", set()),
        ("team-a", {"join", "read"}),
        ("team-x", {"join", "read", "send"}),
        ("ops-1", {"join", "read", "send", "admin"}),
        ("ops-12", set()),
        ("other", set()),
    ],
)
def test_rights(room: str, rights: set[str]) -> None:
    """The rights of all patterns that match the whole name; admin has the others in it."""
    assert {right for right in RIGHTS if GRANTS.allows(right, room)} == rights


@pytest.mark.parametrize(
    ("rooms", "is_admin"),
    [
        ({"*": ["admin"]}, True),
        ({"*": ["join", "send", "read"]}, False),
        ({"**": ["admin"], "?*": ["admin"], "ops-*": ["admin"]}, False),
        ({}, False),
    ],
)
def test_admin(rooms: dict[str, list[str]], is_admin: bool) -> None:
    """An administrator has the right admin under the pattern * itself."""
    assert Grants.of(rooms).is_admin is is_admin
    assert Identity("ada", Grants.of(rooms)).is_admin is is_admin


def test_together() -> None:
    """Grants are added."""
    both = Grants.of({"a": ["join"]}) | Grants.of({"a": ["send"]})
    assert both.allows("join", "a")
    assert both.allows("send", "a")


@pytest.mark.parametrize(
    ("rooms", "text"),
    [
        ({"a": "join"}, "rights of 'a': expected a list, not 'join'"),
        ({"a": None}, "rights of 'a': expected a list, not None"),
        ({"a": [1]}, "rights of 'a': expected strings such as 'join'"),
        ({"a": ["write"]}, "unknown right 'write'; use join, send, read, admin"),
        ({"": ["join"]}, "room pattern '': not a non-empty string; use one such as 'team-*'"),
        ({1: ["join"]}, "room pattern 1: not a non-empty string; use one such as 'team-*'"),
    ],
)
def test_wrong_grants(rooms: Any, text: str) -> None:
    """What is no right and no pattern is refused."""
    with pytest.raises(UsageError) as info:
        Grants.of(rooms)
    assert str(info.value) == text


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((1,), "user: expected a string, not 1"),
        (("",), "the user name is empty; use 1 to 128 characters"),
        (("a\nb",), "control character U\\+000A"),
        (
            ("ada", Grants(), float("nan")),
            "expires_at: expected a finite number of seconds, or None",
        ),
    ],
)
def test_wrong_identity(arguments: Any, text: str) -> None:
    """A user has a name that users may have."""
    with pytest.raises(UsageError, match=text):
        Identity(*arguments)


@given(st.text(min_size=1), st.text(), st.sampled_from(RIGHTS))
def test_any_pattern(pattern: str, room: str, right: str) -> None:
    """No pattern fails, and a name without special characters matches itself alone."""
    allowed = Grants.of({pattern: [right]}).allows(right, room)
    if not set(pattern) & set("*?["):
        assert allowed == (pattern == room)
