"""The log of one room in memory, bounded by number and age of messages. No I/O.

Offsets are contiguous, and the oldest messages are dropped first. A read never returns a message
that is older than the retention.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import islice

from .dedupe import Dedupe
from .position import Position
from .publication import Draft, LogPage, Outcome, Publication, Receipt
from .retention import Retention

__all__ = ["Log", "append"]


def append(
    newest: Position, drafts: Sequence[Draft], dedupe: Dedupe
) -> tuple[Position, list[Receipt], list[Publication]]:
    """Assign the next offsets after `newest` to the drafts that are not in the log yet.

    Return the new `newest`, the receipts of all drafts, and the new publications. Their ids are
    added to `dedupe`.
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
"""Shared by all empty logs, because an empty deque takes 700 bytes."""


class Log:
    """The messages and ids that one room keeps."""

    __slots__ = ("_dedupe", "_publications", "_retention", "newest")

    def __init__(self, epoch: str, retention: Retention) -> None:
        self._retention = retention
        self._publications = _NONE
        self._dedupe: Dedupe | None = None  # many rooms never publish
        self.newest = Position(epoch, 0)
        """The position of the newest message, even if it was dropped."""

    def publish(
        self, drafts: Sequence[Draft], now_ms: int
    ) -> tuple[list[Receipt], list[Publication]]:
        """Append the new drafts. Return the receipts of all drafts and the new publications."""
        self.expire(now_ms)
        self._dedupe = Dedupe() if self._dedupe is None else self._dedupe
        self.newest, receipts, added = append(self.newest, drafts, self._dedupe)
        if added:
            self._add(added)
        return receipts, added

    def read(
        self, now_ms: int, *, after: int, before: int | None, limit: int, newest: bool
    ) -> LogPage:
        """Return a part of the log, see `Broker.read`."""
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
        """Drop the messages and ids that are too old."""
        if self._dedupe is not None:
            self._dedupe.forget(now_ms)
        youngest = now_ms - self._retention.age * 1000
        while self._publications and self._publications[0].sent_at_ms <= youngest:
            self._publications.popleft()

    @property
    def has_messages(self) -> bool:
        """Whether the log has any message."""
        return bool(self._publications)

    @property
    def is_empty(self) -> bool:
        """Whether the log has neither messages nor ids."""
        return not self._publications and not self._dedupe

    def _add(self, added: Sequence[Publication]) -> None:
        if self._publications is _NONE:
            self._publications = deque()
        self._publications.extend(added)
        while len(self._publications) > self._retention.count:
            self._publications.popleft()
