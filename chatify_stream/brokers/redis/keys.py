"""The names of what is kept in Redis. No I/O.

Rules: the keys of a room have the name of the room as their hash tag, in braces, so that one node
of a Cluster has them all. A brace or percent sign in a name is written as `%7B`, `%7D` or `%25`.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

from .shards import slot_of

__all__ = ["Keys", "RoomKeys", "digest_of", "fingerprint_of"]

_ESCAPES = str.maketrans({"%": "%25", "{": "%7B", "}": "%7D"})

CLUSTER_PARTS = 16
"""Of the list of rooms in a Cluster, so that not one node has it all."""


class RoomKeys(NamedTuple):
    """Those of one room."""

    slot: int
    base: str
    four: tuple[str, str, str, str]
    """As scripts have them first."""
    channel: str
    listed_in: str
    """The sorted set in which the room is listed."""

    def of_id(self, user: str, message_id: str) -> str:
        return f"{self.base}id:{digest_of(user, message_id)}"


class Keys:
    """All names, with their prefix."""

    def __init__(self, prefix: str, db: int, *, is_cluster: bool) -> None:
        self._prefix = prefix
        self._db = f"@{db}" if db else ""  # a channel is of all databases
        parts = range(CLUSTER_PARTS if is_cluster else 1)
        self.indexes = [
            f"{prefix}:rooms:{part}" if is_cluster else f"{prefix}:rooms" for part in parts
        ]
        self.servers_slot = slot_of(f"{prefix}:{{servers}}:")
        self.of_room = lru_cache(maxsize=10_000)(self._of_room)

    def of_servers(self, node: str) -> str:
        """The channel on which one server is told something, or all of them are."""
        return f"{self._prefix}:{{servers}}:tell{self._db}:{node}"

    def room_of_channel(self, channel: str) -> str:
        """The room whose channel it is."""
        tag = channel[channel.index("{") + 1 : channel.index("}")]
        return tag.replace("%7B", "{").replace("%7D", "}").replace("%25", "%")

    def _of_room(self, room: str) -> RoomKeys:
        base = f"{self._prefix}:{{{room.translate(_ESCAPES)}}}:"
        slot = slot_of(base)
        four = (f"{base}log", f"{base}stream", f"{base}who", f"{base}nodes")
        index = self.indexes[slot % len(self.indexes)]
        return RoomKeys(slot, base, four, f"{base}live{self._db}", index)


def digest_of(*texts: str) -> str:
    """The same for the same texts alone."""
    digest = blake2b("\0".join(texts).encode(), digest_size=12).digest()
    return urlsafe_b64encode(digest).decode()


def fingerprint_of(text: str) -> str:
    """Of the text of a message."""
    return digest_of(text)
