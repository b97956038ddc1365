"""The names of keys and channels in Redis. No I/O.

The hash tag of a room's keys, in braces, is the room's name, so that one node of a Cluster stores
them all. Braces and percent signs in a name are written as `%7B`, `%7D` and `%25`.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

from redis.crc import key_slot

__all__ = ["Keys", "RoomKeys", "digest_of", "slot_of"]

_ESCAPES = str.maketrans({"%": "%25", "{": "%7B", "}": "%7D"})

CLUSTER_PARTS = 16
"""Number of parts of the room list in a Cluster, which spread it over the nodes."""


class RoomKeys(NamedTuple):
    """The keys of one room."""

    slot: int
    base: str
    four: tuple[str, str, str, str]
    """The keys LOG, STREAM, WHO and NODES that every script starts with."""
    channel: str
    listed_in: str
    """The sorted set in which the room is listed."""

    def of_id(self, user: str, message_id: str) -> str:
        """Return the key of a user's message id."""
        return f"{self.base}id:{digest_of(user, message_id)}"


class Keys:
    """Builds all names with the configured prefix."""

    def __init__(self, prefix: str, db: int, *, is_cluster: bool) -> None:
        self._prefix = prefix
        self._db = f"@{db}" if db else ""  # channels are shared by all databases
        parts = [f":{part}" for part in range(CLUSTER_PARTS)] if is_cluster else [""]
        self.indexes = [f"{prefix}:rooms{part}" for part in parts]
        self.servers_slot = slot_of(f"{prefix}:{{servers}}:")
        self.of_room = lru_cache(maxsize=10_000)(self._of_room)

    def of_servers(self, node: str) -> str:
        """Return the channel of one server, or the common channel for an empty `node`."""
        return f"{self._prefix}:{{servers}}:tell{self._db}:{node}"

    def room_of_channel(self, channel: str) -> str:
        """Return the room of a channel."""
        tag = channel[channel.index("{") + 1 : channel.index("}")]
        return tag.replace("%7B", "{").replace("%7D", "}").replace("%25", "%")

    def _of_room(self, room: str) -> RoomKeys:
        base = f"{self._prefix}:{{{room.translate(_ESCAPES)}}}:"
        slot = slot_of(base)
        four = (f"{base}log", f"{base}stream", f"{base}who", f"{base}nodes")
        index = self.indexes[slot % len(self.indexes)]
        return RoomKeys(slot, base, four, f"{base}live{self._db}", index)


def digest_of(*texts: str) -> str:
    """Return a digest of the texts, such as the fingerprint of a message text."""
    digest = blake2b("\0".join(texts).encode(), digest_size=12).digest()
    return urlsafe_b64encode(digest).decode()


def slot_of(key: str) -> int:
    """Return the Cluster slot of a key."""
    return key_slot(key.encode())
