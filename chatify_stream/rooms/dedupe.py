"""The recently published ids of a room, so that no id is published twice. No I/O."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from hashlib import blake2b
from typing import NamedTuple

from .publication import Draft, Outcome

__all__ = ["WINDOW_MS", "Dedupe", "DedupeEntry"]

WINDOW_MS = 5 * 60 * 1000
"""Milliseconds for which an id is remembered after its first publication."""


class DedupeEntry(NamedTuple):
    """The first publication of an id."""

    offset: int
    sent_at_ms: int
    fingerprint: int
    """Hash of the text as a signed 64-bit number. It does not depend on the process."""


class Dedupe:
    """The ids of one room. A key is a user name and an id."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: OrderedDict[tuple[str, str], DedupeEntry] = OrderedDict()  # oldest first

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, draft: Draft) -> tuple[Outcome, DedupeEntry] | None:
        """Return the first publication of the draft's id, or None for a new id.

        The outcome is CONFLICT if the id was published with another text, otherwise DUPLICATE.
        """
        if not draft.id:
            return None
        entry = self._entries.get((draft.user, draft.id))
        if entry is None:
            return None
        is_same = entry.fingerprint == _fingerprint(draft.text)
        return (Outcome.DUPLICATE if is_same else Outcome.CONFLICT), entry

    def __contains__(self, key: tuple[str, str]) -> bool:
        """Return whether a key is known."""
        return key in self._entries

    def __getitem__(self, key: tuple[str, str]) -> DedupeEntry:
        """Return the entry of a key. Raises `KeyError`."""
        return self._entries[key]

    def add(self, draft: Draft, offset: int) -> None:
        """Remember that the draft was published."""
        if draft.id:
            entry = DedupeEntry(offset, draft.sent_at_ms, _fingerprint(draft.text))
            self.restore(draft.user, draft.id, entry)

    def restore(self, user: str, message_id: str, entry: DedupeEntry) -> None:
        """Remember a publication that was read from storage."""
        self._entries[user, message_id] = entry

    def remove(self, keys: Iterable[tuple[str, str]]) -> None:
        """Forget keys whose publication was rolled back. Ignores unknown keys."""
        for key in keys:
            self._entries.pop(key, None)

    def forget(self, now_ms: int) -> None:
        """Forget the ids that are older than the window."""
        while self._entries:
            key = next(iter(self._entries))
            if self._entries[key].sent_at_ms > now_ms - WINDOW_MS:
                break
            del self._entries[key]


def _fingerprint(text: str) -> int:
    encoded = text.encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(encoded, digest_size=8).digest(), "big", signed=True)
