"""Tests of the keys of brokers/redis/scripts.py."""

from __future__ import annotations

import pytest
from redis.crc import key_slot

from chatify_stream.brokers.redis.scripts import Keys, digest_of

KEYS = Keys("chatify", 0, is_cluster=False)


@pytest.mark.parametrize(
    "room", ["lobby", "聊天室 🦊", "{}", "a}b{c", "%7B", "100%", "}{", "{a}%7D"]
)
def test_rooms(room: str) -> None:
    """All keys of a room have one slot, and its channel is that of no other room."""
    keys = KEYS.of_room(room)
    names = [*keys.four, keys.of_id("ada", "1"), keys.channel]
    assert len(set(names)) == len(names)
    assert {key_slot(name.encode()) for name in names} == {keys.slot}
    assert KEYS.room_of_channel(keys.channel) == room


def test_databases_and_prefixes() -> None:
    """Channels, which are of all databases, differ by database; everything does by prefix."""
    others = [Keys("chatify", 1, is_cluster=False), Keys("other", 0, is_cluster=False)]
    channels = {each.of_room("lobby").channel for each in (KEYS, *others)}
    assert len(channels) == 3
    assert others[1].of_room("lobby").four[0] == "other:{lobby}:log"


def test_the_list_of_a_cluster() -> None:
    """It is in parts, which are of different slots."""
    keys = Keys("chatify", 0, is_cluster=True)
    assert {keys.of_room(f"room {n}").listed_in for n in range(500)} == set(keys.indexes)
    assert len({key_slot(index.encode()) for index in keys.indexes}) > 1
    assert KEYS.indexes == ["chatify:rooms"]


def test_digests() -> None:
    """Other users or ids have other digests."""
    assert len({digest_of(*each) for each in [("a", "b"), ("ab", ""), ("", "ab"), ("b", "a")]}) == 4
