"""The ids that were published lately, so that none is published twice. No I/O."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from hashlib import blake2b
from typing import NamedTuple

from .publication import Draft, Outcome

__all__ = ["WINDOW_MS", "Dedupe", "Known"]

WINDOW_MS = 5 * 60 * 1000
"""Milliseconds for which an id is remembered after it was first published."""


class Known(NamedTuple):
    """Where an id was first published, and what with."""

    offset: int
    sent_at_ms: int
    fingerprint: int
    """Of the text, 64 bits with a sign: equal for equal texts, in every process."""


class Dedupe:
    """The ids of one room. The key is the user and the id."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], Known] = OrderedDict()  # the oldest first

    def __len__(self) -> int:
        return len(self._known)

    def find(self, draft: Draft) -> tuple[Outcome, Known] | None:
        """Whether the draft has been published: as a duplicate, or in conflict with its text."""
        if not draft.id:
            return None
        known = self._known.get((draft.user, draft.id))
        if known is None:
            return None
        is_same = known.fingerprint == _fingerprint(draft.text)
        return (Outcome.DUPLICATE if is_same else Outcome.CONFLICT), known

    def __contains__(self, key: tuple[str, str]) -> bool:
        """Whether anything is known of a user and an id."""
        return key in self._known

    def __getitem__(self, key: tuple[str, str]) -> Known:
        """What is known of a user and an id. Raises `KeyError`."""
        return self._known[key]

    def add(self, draft: Draft, offset: int) -> None:
        """The draft was published."""
        if draft.id:
            known = Known(offset, draft.sent_at_ms, _fingerprint(draft.text))
            self.restore(draft.user, draft.id, known)

    def restore(self, user: str, message_id: str, known: Known) -> None:
        """Remembers what another process did."""
        self._known[user, message_id] = known

    def take_back(self, keys: Iterable[tuple[str, str]]) -> None:
        """They were not published after all, as far as they are known."""
        for key in keys:
            self._known.pop(key, None)

    def forget(self, now_ms: int) -> None:
        """Forgets what is older than the window."""
        while self._known:
            key = next(iter(self._known))
            if self._known[key].sent_at_ms > now_ms - WINDOW_MS:
                break
            del self._known[key]


def _fingerprint(text: str) -> int:
    encoded = text.encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(encoded, digest_size=8).digest(), "big", signed=True)
