"""The log of one room in memory: what was published lately, bounded by number and age. No I/O.

Rules: offsets are contiguous; the oldest go first; those that are too old are gone for whoever
reads, whether or not they have been dropped yet.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import islice

from .dedupe import Dedupe
from .position import Position
from .publication import Draft, LogPage, Outcome, Publication, Receipt
from .retention import Retention

__all__ = ["Log", "append", "can_resume"]


def can_resume(after: Position, newest: Position, oldest: int) -> bool:
    """Whether every message after `after` is still in the log.

    `newest` is the newest position of the log, `oldest` the offset of its oldest message. A
    position of another epoch, or one that lies in the future, cannot be resumed.
    """
    return after.epoch == newest.epoch and oldest - 1 <= after.offset <= newest.offset


def append(
    newest: Position, drafts: Sequence[Draft], dedupe: Dedupe
) -> tuple[Position, list[Receipt], list[Publication]]:
    """Gives what is new the next offsets in the log whose newest message is at `newest`.

    The new `newest`, the receipts of all, and what is new, whose ids `dedupe` then knows.
    """
    receipts: list[Receipt] = []
    added: list[Publication] = []
    epoch, offset = newest
    for draft in drafts:
        found = dedupe.find(draft)
        if found is not None:
            outcome, known = found
            receipts.append(Receipt(outcome, Position(epoch, known.offset), known.sent_at_ms))
            continue
        offset += 1
        added.append(Publication(offset, *draft))
        dedupe.add(draft, offset)
        receipts.append(Receipt(Outcome.PUBLISHED, Position(epoch, offset), draft.sent_at_ms))
    return Position(epoch, offset), receipts, added


_NONE: deque[Publication] = deque()
"""No messages: an empty deque of its own would take 700 bytes of each room."""


class Log:
    """What one room keeps."""

    __slots__ = ("_dedupe", "_publications", "_retention", "newest")

    def __init__(self, epoch: str, retention: Retention) -> None:
        self._retention = retention
        self._publications = _NONE
        self._dedupe: Dedupe | None = None  # many rooms are only listened in
        self.newest = Position(epoch, 0)
        """The position of the newest message, kept or not."""

    def publish(
        self, drafts: Sequence[Draft], now_ms: int
    ) -> tuple[list[Receipt], list[Publication]]:
        """Appends what is new; the receipts of all, and what was appended."""
        self.expire(now_ms)
        self._dedupe = Dedupe() if self._dedupe is None else self._dedupe
        self.newest, receipts, added = append(self.newest, drafts, self._dedupe)
        if added:
            self._add(added)
        return receipts, added

    def read(
        self, now_ms: int, *, after: int, before: int | None, limit: int, newest: bool
    ) -> LogPage:
        """What a broker's `read` gives."""
        self.expire(now_ms)
        oldest = self.newest.offset + 1 - len(self._publications)
        first = max(after + 1, oldest)
        last = self.newest.offset if before is None else min(before - 1, self.newest.offset)
        if newest:
            first = max(first, last + 1 - limit)
        else:
            last = min(last, first + limit - 1)
        found = list(islice(self._publications, first - oldest, max(last + 1 - oldest, 0)))
        return LogPage(self.newest, oldest, found)

    def expire(self, now_ms: int) -> None:
        """Drops what is too old."""
        if self._dedupe is not None:
            self._dedupe.forget(now_ms)
        youngest = now_ms - self._retention.age * 1000
        while self._publications and self._publications[0].sent_at_ms <= youngest:
            self._publications.popleft()

    @property
    def has_messages(self) -> bool:
        """It keeps messages."""
        return bool(self._publications)

    @property
    def is_empty(self) -> bool:
        """It keeps nothing: neither messages nor ids."""
        return not self._publications and not self._dedupe

    def _add(self, added: Sequence[Publication]) -> None:
        if self._publications is _NONE:
            self._publications = deque()
        self._publications.extend(added)
        while len(self._publications) > self._retention.count:
            self._publications.popleft()
