"""Tests of the outbox of rooms/member.py."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chatify_stream.rooms import Chunk, Outbox


def chunk(size: int, offset: int = 1) -> Chunk:
    return Chunk(b"x" * size, 1, offset)


def test_in_order() -> None:
    """Chunks leave in order; the first stays until `pop`."""
    outbox = Outbox(100)
    first, second = chunk(10, 1), chunk(20, 2)
    assert outbox.put(first)
    assert outbox.put(second)
    assert (len(outbox), outbox.size) == (2, 30)
    assert outbox.first is first
    assert outbox.first is first
    outbox.pop()
    assert (outbox.first, len(outbox), outbox.size) == (second, 1, 20)
    outbox.pop()
    assert (outbox.first, len(outbox), outbox.size) == (None, 0, 0)


def test_limit() -> None:
    """The outbox can be filled to the limit. A chunk that does not fit changes nothing."""
    outbox = Outbox(100)
    assert outbox.put(chunk(60))
    assert outbox.put(chunk(40))
    assert not outbox.put(chunk(1))
    assert (len(outbox), outbox.size) == (2, 100)
    outbox.pop()
    assert outbox.put(chunk(60))
    assert outbox.size == 100


def test_any_message_fits() -> None:
    """An empty outbox accepts a chunk above the limit, and nothing after it."""
    outbox = Outbox(100)
    assert outbox.put(chunk(1000))
    assert not outbox.put(chunk(1))
    outbox.pop()
    assert outbox.put(chunk(1))
    assert not outbox.put(chunk(1000))


def test_no_copies() -> None:
    """Several outboxes share the bytes of a chunk."""
    shared = chunk(10)
    outboxes = [Outbox(100) for _ in range(10)]
    for outbox in outboxes:
        outbox.put(shared)
    assert all(outbox.first.frames is shared.frames for outbox in outboxes if outbox.first)


def test_clear() -> None:
    """`clear` drops all chunks and makes room."""
    outbox = Outbox(100)
    outbox.put(chunk(100))
    outbox.clear()
    assert (len(outbox), outbox.size, outbox.first) == (0, 0, None)
    assert outbox.put(chunk(100))


@given(st.integers(1, 50), st.lists(st.one_of(st.integers(1, 60), st.none())))
def test_as_a_list(limit: int, steps: list[int | None]) -> None:
    """The outbox behaves like a list with a limit."""
    outbox, expected = Outbox(limit), list[Chunk]()
    for number, size in enumerate(steps):
        if size is not None:
            put = chunk(size, number)
            fits = not expected or sum(len(each.frames) for each in expected) + size <= limit
            assert outbox.put(put) is fits
            if fits:
                expected.append(put)
        elif expected:
            assert outbox.first is expected.pop(0)
            outbox.pop()
        assert len(outbox) == len(expected)
        assert outbox.size == sum(len(each.frames) for each in expected)
