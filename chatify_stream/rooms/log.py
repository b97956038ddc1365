"""The log of one room in memory, bounded by number and age of messages. No I/O.

Offsets are contiguous, and the oldest messages are dropped first. A read never returns a message
that is older than the retention. `Dedupe` remembers the ids that were published recently, so that
no id is published twice.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from itertools import islice
from typing import NamedTuple

from .position import Position
from .publication import Draft, LogPage, Outcome, Publication, Receipt
from .retention import Retention

WINDOW_MS = 5 * 60 * 1000
"""Milliseconds for which an id is remembered after its first publication."""


class DedupeEntry(NamedTuple):
    """The first publication of an id."""

    offset: int
    sent_at_ms: int
    fingerprint: int
    """Hash of the text as a signed 64-bit number. It does not depend on the process."""


class Dedupe(OrderedDict[tuple[str, str], DedupeEntry]):
    """The ids of one room, oldest first. A key is a user name and an id."""

    __slots__ = ()

    def find(self, draft: Draft) -> tuple[Outcome, DedupeEntry] | None:
        """Return the first publication of the draft's id, or None for a new id.

        The outcome is CONFLICT if the id was published with another text, otherwise DUPLICATE.
        """
        entry = self.get((draft.user, draft.id)) if draft.id else None
        if entry is None:
            return None
        is_same = entry.fingerprint == _fingerprint(draft.text)
        return (Outcome.DUPLICATE if is_same else Outcome.CONFLICT), entry

    def add(self, draft: Draft, offset: int) -> None:
        if draft.id:
            entry = DedupeEntry(offset, draft.sent_at_ms, _fingerprint(draft.text))
            self[draft.user, draft.id] = entry

    def remove(self, keys: Iterable[tuple[str, str]]) -> None:
        """Forget keys whose publication was rolled back. Ignores unknown keys."""
        for key in keys:
            self.pop(key, None)

    def forget(self, now_ms: int) -> None:
        while self:
            key = next(iter(self))
            if self[key].sent_at_ms > now_ms - WINDOW_MS:
                break
            del self[key]


def _fingerprint(text: str) -> int:
    encoded = text.encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(encoded, digest_size=8).digest(), "big", signed=True)


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
        if self._dedupe is not None:
            self._dedupe.forget(now_ms)
        youngest = now_ms - self._retention.age * 1000
        while self._publications and self._publications[0].sent_at_ms <= youngest:
            self._publications.popleft()

    @property
    def has_messages(self) -> bool:
        return bool(self._publications)

    @property
    def is_empty(self) -> bool:
        return not self._publications and not self._dedupe

    def _add(self, added: Sequence[Publication]) -> None:
        if self._publications is _NONE:
            self._publications = deque()
        self._publications.extend(added)
        while len(self._publications) > self._retention.count:
            self._publications.popleft()
