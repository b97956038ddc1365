"""Tests of wire/inbox.py."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatify_stream.errors import StatusError
from chatify_stream.wire import Status
from chatify_stream.wire.connection.inbox import Inbox

from ..raw import framed
from ..sources import FakeSource

LIMIT = 1000


def make() -> tuple[Inbox, FakeSource]:
    source = FakeSource()
    return Inbox(source, 1, LIMIT), source


def test_drop() -> None:
    """What nobody is to read gives its window back, what has come and what still comes."""
    inbox, peer = make()
    data = framed(b"Ada") + framed(b"Grace")[:7]
    inbox.add(data, len(data))
    inbox.drop()
    assert (inbox.bytes_waiting, peer.given_back) == (0, len(data))
    inbox.add(data, len(data))
    inbox.eof()
    assert (inbox.bytes_waiting, peer.given_back) == (0, 2 * len(data))


@given(st.lists(st.binary(max_size=300)), st.lists(st.integers(1, 50)), st.integers(1, 5))
def test_messages_in_any_pieces(messages: list[bytes], pieces: list[int], most: int) -> None:
    """Messages come out as they went in, however they were cut, one by one or in batches."""
    inbox, peer = make()
    data = total = b"".join(map(framed, messages))
    for size in [*pieces, len(total) + 1]:
        if data:
            inbox.add(data[:size], len(data[:size]))
            data = data[size:]
    inbox.eof()

    async def read() -> list[bytes]:
        received = []
        while batch := await inbox.batch(most):
            assert len(batch) <= most
            received += batch
            message = await inbox.next()
            if message is None:
                break
            received.append(message)
        return received

    assert asyncio.run(read()) == messages
    assert peer.given_back == len(total)
    assert inbox.unacked_size() == 0


async def test_waiting_messages_hold_their_window() -> None:
    """What a slow reader has not taken holds the window; what it takes is given back."""
    inbox, peer = make()
    inbox.add(framed(b"a" * 10) + framed(b"b" * 20), 40)
    assert peer.given_back == 0
    assert await inbox.next() == b"a" * 10
    assert peer.given_back == 15
    assert inbox.unacked_size() == 25


async def test_parts_do_not_hold_the_window() -> None:
    """A part of a message gives its window back, so that a large one can come."""
    inbox, peer = make()
    inbox.add(framed(b"x" * 900)[:400], 400)
    assert peer.given_back == 400
    inbox.add(framed(b"x" * 900)[400:], 505)
    assert await inbox.next() == b"x" * 900
    assert peer.given_back == 905


def test_padding_is_given_back() -> None:
    """Padding takes window, and gives it back at once."""
    inbox, peer = make()
    inbox.add(framed(b"a"), 6 + 100)
    inbox.add(b"", 50)
    assert peer.given_back == 150


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (framed(b"x" * 1001), Status.RESOURCE_EXHAUSTED),
        (framed(b"x" * 1001)[:5], Status.RESOURCE_EXHAUSTED),
        (framed(b"x", compressed=True), Status.INTERNAL),
        (b"\x02" + framed(b"x")[1:], Status.INTERNAL),
        (b"\xff" + framed(b"x")[1:5], Status.INTERNAL),
    ],
)
async def test_an_error_stands_in_its_place(data: bytes, status: Status) -> None:
    """What came before the wrong message is given out, nothing after it, and no window is kept."""
    inbox, peer = make()
    first = framed(b"good") + data[:3]
    inbox.add(first, len(first))
    rest = data[3:] + framed(b"late")
    inbox.add(rest, len(rest))
    inbox.add(b"more", 4)
    inbox.eof()
    assert await inbox.next() == b"good"
    for _ in range(2):
        with pytest.raises(StatusError) as caught:
            await inbox.next()
        assert caught.value.status is status
    assert peer.given_back == len(first) + len(rest) + 4


async def test_the_end_in_a_message() -> None:
    """An end in the middle of a message is an error, not the end."""
    inbox, _ = make()
    inbox.add(framed(b"abc")[:-1], 7)
    inbox.eof()
    with pytest.raises(StatusError, match="in the middle of a message"):
        await inbox.batch(10)


@pytest.mark.parametrize("method", ["next", "batch"])
async def test_waiting(method: str) -> None:
    """A reader waits for a whole message, and wakes for it, for an error, and for the end."""

    async def read(inbox: Inbox) -> object:
        return await (inbox.next() if method == "next" else inbox.batch(10))

    inbox, _ = make()
    reading = asyncio.create_task(read(inbox))
    for byte in framed(b"abc")[:-1]:
        inbox.add(bytes([byte]), 1)
        await asyncio.sleep(0)
        assert not reading.done()
    inbox.add(b"c", 1)
    assert await reading in (b"abc", [b"abc"])

    reading = asyncio.create_task(read(inbox))
    await asyncio.sleep(0)
    inbox.eof()
    assert await reading in (None, [])

    inbox, _ = make()
    reading = asyncio.create_task(read(inbox))
    await asyncio.sleep(0)
    inbox.add(b"\x01\x00\x00\x00\x00", 5)
    with pytest.raises(StatusError):
        await reading


async def test_a_cancelled_reader_takes_nothing() -> None:
    """A reader that is cancelled, also after its message has come, leaves it to the next."""
    inbox, _ = make()
    reading = asyncio.create_task(inbox.next())
    await asyncio.sleep(0)
    inbox.add(framed(b"abc"), 8)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert await inbox.next() == b"abc"


async def test_some_messages_at_a_time() -> None:
    """What is not cut yet holds its window; what may be the beginning of a message does not."""
    inbox, source = make()
    data = framed(b"x") * 10
    assert inbox.add(data + framed(b"later")[:7], len(data) + 7, 4) == 4
    assert (inbox.is_uncut, source.given_back, source.memory_budget.uncredited_bytes) == (
        True,
        0,
        0,
    )
    assert inbox.add(b"", 0, 6) == 6
    assert (inbox.is_uncut, source.given_back) == (True, 0)
    assert inbox.add(b"", 0, 6) == 0
    assert (inbox.is_uncut, source.given_back) == (False, 7)
    assert await inbox.batch(20) == [b"x"] * 10
    assert inbox.add(framed(b"later")[7:], 3, 6) == 1
    assert (await inbox.next(), inbox.is_uncut) == (b"later", False)
    assert source.given_back == len(data) + 10


async def test_a_wrong_one_behind_some_messages() -> None:
    inbox, source = make()
    data = framed(b"x") * 5 + b"\x02" + bytes(9)
    assert inbox.add(data, len(data), 4) == 4
    assert inbox.add(b"", 0, 4) == 1
    assert not inbox.is_uncut
    assert await inbox.batch(9) == [b"x"] * 5
    with pytest.raises(StatusError, match="it has to be 0 or 1"):
        await inbox.next()
    assert source.given_back == len(data)


class TestAtOnce:
    def waiting(self, deal: Callable[[Inbox], bool]) -> tuple[Inbox, list[Callable[[], bool]]]:
        """An inbox with a reader that leaves word, and what is to be done at the end of a read."""
        inbox, source = make()
        inbox.at_once = lambda: deal(inbox)
        return inbox, source.arrivals

    async def test_what_is_dealt_with(self) -> None:
        """Messages of one read are dealt with together, and the reader goes on waiting."""
        taken: list[list[bytes]] = []

        def deal(inbox: Inbox) -> bool:
            taken.append(inbox.batch_nowait(10))
            return True

        inbox, arrivals = self.waiting(deal)
        reader = asyncio.create_task(inbox.batch(10))
        await asyncio.sleep(0)
        for text in (b"one", b"two"):
            inbox.add(framed(text), len(framed(text)))
        assert len(arrivals) == 1
        assert arrivals.pop()()
        assert taken == [[b"one", b"two"]]
        inbox.add(framed(b"three"), 10)
        assert arrivals.pop()()
        assert taken[1:] == [[b"three"]]
        assert not reader.done()
        inbox.eof()
        assert await reader == []

    async def test_what_is_not(self) -> None:
        """The reader is woken to look at what was taken; what was not taken comes behind it."""
        for at_most, rest in ((10, []), (1, [b"two"])):
            inbox, arrivals = self.waiting(lambda box, most=at_most: not box.batch_nowait(most))
            reader = asyncio.create_task(inbox.batch(10))
            await asyncio.sleep(0)
            data = framed(b"one") + framed(b"two")
            inbox.add(data, len(data))
            assert not arrivals.pop()()
            assert await reader == []
            inbox.eof()
            assert await inbox.batch(10) == rest

    async def test_more_than_was_dealt_with(self) -> None:
        """When what was taken is dealt with, the reader gets what was not taken."""
        inbox, arrivals = self.waiting(lambda box: bool(box.batch_nowait(1)))
        reader = asyncio.create_task(inbox.batch(10))
        await asyncio.sleep(0)
        data = framed(b"one") + framed(b"two")
        inbox.add(data, len(data))
        assert not arrivals.pop()()
        assert await reader == [b"two"]

    async def test_an_end_in_the_same_read(self) -> None:
        """A reader is woken for the end of the stream, and takes what came before it."""
        inbox, arrivals = self.waiting(lambda box: pytest.fail("the reader was there for it"))
        reader = asyncio.create_task(inbox.batch(10))
        await asyncio.sleep(0)
        inbox.add(framed(b"one"), 8)
        inbox.eof()
        assert not arrivals.pop()()
        assert await reader == [b"one"]

    async def test_more_behind_what_was_left(self) -> None:
        """What comes before the reader has run waits behind what was left to it."""
        inbox, arrivals = self.waiting(lambda box: not box.batch_nowait(10))
        reader = asyncio.create_task(inbox.batch(10))
        await asyncio.sleep(0)
        inbox.add(framed(b"one"), 8)
        assert not arrivals.pop()()
        inbox.add(framed(b"two"), 8)
        assert await reader == []  # it looks at what was left to it
        assert await inbox.batch(10) == [b"two"]

    async def test_a_message_that_is_refused(self) -> None:
        """A reader that has left word is told of a refusal, and not of an end."""
        inbox, arrivals = self.waiting(lambda box: pytest.fail("there is nothing to deal with"))
        reader = asyncio.create_task(inbox.batch(10))
        await asyncio.sleep(0)
        inbox.add(framed(b"x" * (LIMIT + 1)), LIMIT + 6)
        assert arrivals == []
        with pytest.raises(StatusError):
            await reader

    async def test_a_refusal_behind_what_was_left(self) -> None:
        """What was not dealt with comes first, and then the refusal."""
        inbox, arrivals = self.waiting(lambda box: not box.batch_nowait(10))
        reader = asyncio.create_task(inbox.batch(10))
        await asyncio.sleep(0)
        inbox.add(framed(b"one"), 8)
        assert not arrivals.pop()()
        inbox.add(framed(b"x" * (LIMIT + 1)), LIMIT + 6)
        assert await reader == []  # it looks at what was left to it
        with pytest.raises(StatusError):
            await inbox.batch(10)

    async def test_nobody_waits(self) -> None:
        """Messages that nobody waits for are kept for who comes."""
        inbox, arrivals = self.waiting(lambda box: pytest.fail("nobody has waited"))
        inbox.add(framed(b"one"), 8)
        assert arrivals == []
        assert await inbox.batch(10) == [b"one"]


class TestLimit:
    """A call that takes less than others, of which it is known only once it has begun."""

    @given(
        st.lists(st.integers(0, 60), max_size=12),
        st.integers(0, 40),
        st.integers(0, 12),
        st.integers(1, 50),
    )
    def test_whenever_it_comes(
        self, sizes: list[int], limit: int, pieces_before: int, piece: int
    ) -> None:
        """The messages before the first large one are given out, and no window is kept."""
        inbox, peer = make()
        data = b"".join(framed(b"x" * size) for size in sizes)
        pieces = [data[start : start + piece] for start in range(0, len(data), piece)]
        for each in pieces[:pieces_before]:
            inbox.add(each, len(each))
        inbox.limit(limit)
        for each in pieces[pieces_before:]:
            inbox.add(each, len(each))
        inbox.eof()

        async def read() -> tuple[list[int], StatusError | None]:
            received = []
            try:
                while (message := await inbox.next()) is not None:
                    received.append(len(message))
            except StatusError as error:
                return received, error
            return received, None

        received, error = asyncio.run(read())
        large = next((index for index, size in enumerate(sizes) if size > limit), None)
        assert received == sizes[:large]
        if large is None:
            assert error is None
        else:
            assert error is not None
            assert error.status is Status.RESOURCE_EXHAUSTED
            assert error.message == (
                f"the message has {sizes[large]} bytes; at most {limit} are allowed"
            )
        assert peer.given_back == len(data)
        assert (inbox.unacked_size(), inbox.bytes_waiting) == (0, 0)

    async def test_that_is_no_limit(self) -> None:
        """It never lets more in than the connection takes."""
        inbox, _ = make()
        inbox.limit(LIMIT * 2)
        inbox.add(framed(b"x" * (LIMIT + 1)), LIMIT + 6)
        with pytest.raises(StatusError, match=f"at most {LIMIT} are allowed"):
            await inbox.next()

    async def test_an_earlier_error(self) -> None:
        """What was wrong before stays so."""
        inbox, _ = make()
        inbox.add(framed(b"good") + b"\x02" + bytes(4), 14)
        inbox.limit(10)
        assert await inbox.next() == b"good"
        with pytest.raises(StatusError, match="it has to be 0 or 1"):
            await inbox.next()

    async def test_a_message_that_is_inflated(self) -> None:
        """A message that waits compressed has to be within it once it is inflated."""
        for size in (200, 201):
            inbox, _ = make()
            inbox.encoding = "gzip"
            data = framed(gzip.compress(b"x" * size), compressed=True)
            inbox.add(data, len(data))
            inbox.limit(200)
            if size == 200:
                assert await inbox.next() == b"x" * size
                continue
            with pytest.raises(StatusError) as caught:
                await inbox.next()
            assert caught.value.status is Status.RESOURCE_EXHAUSTED
