"""Tests of rooms/presence.py."""

from __future__ import annotations

from chatify_stream.rooms import Presence


def test_first_and_last() -> None:
    """Only a user's first session joins, and only the last one leaves."""
    presence = Presence()
    assert presence.enter("lobby", "ada", "1")
    assert not presence.enter("lobby", "ada", "2")
    assert not presence.leave("lobby", "ada", "1")
    assert presence.users("lobby") == ["ada"]
    assert presence.leave("lobby", "ada", "2")
    assert presence.users("lobby") == []


def test_unknown_session() -> None:
    """Leaving twice, or without a session, changes nothing."""
    presence = Presence()
    assert not presence.leave("lobby", "ada", "1")
    presence.enter("lobby", "ada", "1")
    assert not presence.leave("lobby", "ada", "2")
    assert not presence.leave("lobby", "bob", "1")
    assert not presence.leave("attic", "ada", "1")
    assert presence.users("lobby") == ["ada"]
    assert presence.leave("lobby", "ada", "1")
    assert not presence.leave("lobby", "ada", "1")


def test_rooms() -> None:
    """Rooms are independent, and exist while they have users."""
    presence = Presence()
    for room, user in (("lobby", "bob"), ("lobby", "ada"), ("attic", "ada")):
        presence.enter(room, user, "1")
    assert presence.rooms() == {"lobby", "attic"}
    assert presence.users("lobby") == ["ada", "bob"]
    assert (presence.count("lobby"), presence.count("attic"), presence.count("cellar")) == (2, 1, 0)
    presence.leave("attic", "ada", "1")
    assert presence.rooms() == {"lobby"}
