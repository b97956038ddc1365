"""The domain: rooms, their members and their logs. No I/O, no clock, no asyncio.

Messages are carried as bytes that somebody else has encoded.
"""

from __future__ import annotations

from .dedupe import WINDOW_MS, Dedupe, Known
from .disconnect import Ending, EndingReason
from .hub import Hub
from .log import Log, append, can_resume
from .member import Encoding, Member, Sink
from .names import MAX_NAME_LENGTH, check_id, check_name
from .outbox import Chunk, Outbox
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
    "Draft",
    "Encoding",
    "Ending",
    "EndingReason",
    "Hub",
    "Known",
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
    "Sink",
    "append",
    "can_resume",
    "check_id",
    "check_name",
    "chunks",
    "retention_of",
]
