"""The domain: rooms, their members and their logs. No I/O, no clock, no asyncio.

The domain does not know a wire format: each member brings an `Encoding`.
"""

from .disconnect import Disconnect, DisconnectReason, SessionEnded
from .hub import Hub
from .log import WINDOW_MS, Dedupe, DedupeEntry, Log, append
from .member import Chunk, Encoding, Member, Outbox, Sink
from .names import MAX_NAME_LENGTH, check_id, check_name
from .position import can_resume
from .presence import Presence
from .publication import Draft, LogPage, Outcome, Publication, Receipt
from .retention import Retention, RetentionRule, retention_of
from .room import CHUNK_SIZE, Room, chunks

__all__ = [
    "CHUNK_SIZE",
    "MAX_NAME_LENGTH",
    "WINDOW_MS",
    "Chunk",
    "Dedupe",
    "DedupeEntry",
    "Disconnect",
    "DisconnectReason",
    "Draft",
    "Encoding",
    "Hub",
    "Log",
    "LogPage",
    "Member",
    "Outbox",
    "Outcome",
    "Presence",
    "Publication",
    "Receipt",
    "Retention",
    "RetentionRule",
    "Room",
    "SessionEnded",
    "Sink",
    "append",
    "can_resume",
    "check_id",
    "check_name",
    "chunks",
    "retention_of",
]
