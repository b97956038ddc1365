"""Tests of the ids that rooms/log.py remembers."""

from __future__ import annotations

import subprocess
import sys

import pytest

from chatify_stream.rooms import Dedupe, DedupeEntry, Draft, Outcome

NOW = 1_700_000_000_000
FIVE_MINUTES = 5 * 60 * 1000
"""The promised window, in milliseconds."""


def draft(
    text: str = "hello", message_id: str = "1", user: str = "ada", sent_at_ms: int = NOW
) -> Draft:
    return Draft(user, text, message_id, sent_at_ms)


def outcome(dedupe: Dedupe, draft: Draft) -> Outcome | None:
    found = dedupe.find(draft)
    return None if found is None else found[0]


def test_same_text() -> None:
    """An added id is found with its offset and time."""
    dedupe = Dedupe()
    assert dedupe.find(draft()) is None
    dedupe.add(draft(), 7)
    found = dedupe.find(draft(sent_at_ms=NOW + 5))
    assert found is not None
    assert (found[0], found[1].offset, found[1].sent_at_ms) == (Outcome.DUPLICATE, 7, NOW)


def test_another_text() -> None:
    """An id with another text is a conflict."""
    dedupe = Dedupe()
    dedupe.add(draft("hello"), 7)
    assert outcome(dedupe, draft("Hello")) is Outcome.CONFLICT


def test_key() -> None:
    """Ids of different users are independent. An empty id is never found."""
    dedupe = Dedupe()
    dedupe.add(draft(), 1)
    dedupe.add(draft(message_id=""), 2)
    assert outcome(dedupe, draft(user="bob")) is None
    assert outcome(dedupe, draft(message_id="2")) is None
    assert outcome(dedupe, draft(message_id="")) is None
    assert len(dedupe) == 1


def test_forget() -> None:
    """An id is forgotten after the window, oldest first."""
    dedupe = Dedupe()
    for number in range(5):
        dedupe.add(draft(message_id=str(number), sent_at_ms=NOW + number), number)
    dedupe.forget(NOW + FIVE_MINUTES - 1)
    assert len(dedupe) == 5
    dedupe.forget(NOW + FIVE_MINUTES + 1)
    assert [outcome(dedupe, draft(message_id=str(n))) for n in range(5)] == [
        None,
        None,
        *[Outcome.DUPLICATE] * 3,
    ]
    dedupe.forget(NOW + 2 * FIVE_MINUTES)
    assert len(dedupe) == 0


def test_remove() -> None:
    """A removed id can be added again; unknown ids are ignored."""
    dedupe = Dedupe()
    dedupe.add(draft(), 1)
    assert ("ada", "1") in dedupe
    dedupe.remove([("ada", ""), ("ada", "1"), ("ada", "2")])
    assert ("ada", "1") not in dedupe
    assert dedupe.find(draft()) is None
    dedupe.add(draft("other"), 2)
    assert outcome(dedupe, draft("other")) is Outcome.DUPLICATE


def test_restore() -> None:
    """An entry can be copied into another `Dedupe`."""
    dedupe, other = Dedupe(), Dedupe()
    dedupe.add(draft("聊 🦊"), 3)
    other["ada", "1"] = dedupe["ada", "1"]
    assert other.find(draft("聊 🦊")) == (Outcome.DUPLICATE, dedupe["ada", "1"])
    assert outcome(other, draft("x")) is Outcome.CONFLICT
    with pytest.raises(KeyError):
        other["ada", "2"]


@pytest.mark.process
def test_fingerprint_in_another_process() -> None:
    """The fingerprint of a text is the same in every process, and fits into 64 bits."""
    dedupe = Dedupe()
    dedupe.add(draft("hello"), 1)
    script = (
        "from chatify_stream.rooms import Dedupe, Draft\n"
        "dedupe = Dedupe()\n"
        f"dedupe.add(Draft('ada', 'hello', '1', {NOW}), 1)\n"
        "print(*dedupe['ada', '1'])\n"
    )
    output = subprocess.run(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, timeout=60, check=True
    ).stdout
    entry = DedupeEntry(*map(int, output.split()))
    assert entry == dedupe["ada", "1"]
    assert -(2**63) <= entry.fingerprint < 2**63
