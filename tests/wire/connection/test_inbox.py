"""Tests of wire/connection/inbox.py."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatify_stream.errors import StatusError
from chatify_stream.wire import Status
from chatify_stream.wire.connection.fair_share import LONG_QUANTUM
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


class Consumer:
    """Keeps the batches that it gets, and answers each with `result`."""

    def __init__(self, result: bool = True) -> None:
        self.result = result
        self.batches: list[list[bytes]] = []

    def consume(self, messages: list[bytes]) -> bool:
        self.batches.append(messages)
        return self.result


class TestConsumer:
    async def waiting(
        self, consumer: Consumer, limit: int = 10
    ) -> tuple[Inbox, list[Callable[[], bool]], asyncio.Task[list[bytes]]]:
        """An inbox with a consumer, the functions for the end of a read, and a waiting reader."""
        inbox, source = make()
        source.fair_share.quantum = LONG_QUANTUM._replace(messages=limit)
        inbox.consumer = consumer
        reader = asyncio.create_task(inbox.batch(10))
        await asyncio.sleep(0)
        return inbox, source.arrivals, reader

    async def test_consumed_messages(self) -> None:
        """The messages of one read are one batch, and the reader goes on waiting."""
        consumer = Consumer()
        inbox, arrivals, reader = await self.waiting(consumer)
        for text in (b"one", b"two"):
            inbox.add(framed(text), len(framed(text)))
        assert len(arrivals) == 1
        assert arrivals.pop()()
        assert consumer.batches == [[b"one", b"two"]]
        inbox.add(framed(b"three"), 10)
        assert arrivals.pop()()
        assert consumer.batches[1:] == [[b"three"]]
        assert inbox.messages_received == 3
        assert not reader.done()
        inbox.eof()
        assert await reader == []
        assert not inbox.needs_reader

    async def test_a_consumer_that_needs_the_reader(self) -> None:
        """The reader is woken with no messages. Messages that were not consumed come later."""
        for limit, rest in ((10, []), (1, [b"two"])):
            inbox, arrivals, reader = await self.waiting(Consumer(False), limit)
            data = framed(b"one") + framed(b"two")
            inbox.add(data, len(data))
            assert not arrivals.pop()()
            assert await reader == []
            assert inbox.needs_reader
            inbox.needs_reader = False
            inbox.eof()
            assert await inbox.batch(10) == rest

    async def test_more_than_one_batch(self) -> None:
        """The reader gets the messages beyond the limit of a batch."""
        inbox, arrivals, reader = await self.waiting(Consumer(), limit=1)
        data = framed(b"one") + framed(b"two")
        inbox.add(data, len(data))
        assert not arrivals.pop()()
        assert await reader == [b"two"]

    async def test_an_end_in_the_same_read(self) -> None:
        """The end of the stream wakes the reader, which gets the messages before it."""
        consumer = Consumer()
        inbox, arrivals, reader = await self.waiting(consumer)
        inbox.add(framed(b"one"), 8)
        inbox.eof()
        assert not arrivals.pop()()
        assert await reader == [b"one"]
        assert consumer.batches == []

    async def test_later_messages(self) -> None:
        """Messages that arrive before the reader has run come after those of the consumer."""
        inbox, arrivals, reader = await self.waiting(Consumer(False))
        inbox.add(framed(b"one"), 8)
        assert not arrivals.pop()()
        inbox.add(framed(b"two"), 8)
        assert await reader == []
        inbox.needs_reader = False
        assert await inbox.batch(10) == [b"two"]

    async def test_a_message_that_is_too_large(self) -> None:
        """The reader gets the error, and the consumer gets nothing."""
        consumer = Consumer()
        inbox, arrivals, reader = await self.waiting(consumer)
        inbox.add(framed(b"x" * (LIMIT + 1)), LIMIT + 6)
        assert arrivals == []
        with pytest.raises(StatusError):
            await reader
        assert consumer.batches == []

    async def test_an_error_after_messages_for_the_reader(self) -> None:
        """The reader is first woken for the consumer, and gets the error after that."""
        inbox, arrivals, reader = await self.waiting(Consumer(False))
        inbox.add(framed(b"one"), 8)
        assert not arrivals.pop()()
        inbox.add(framed(b"x" * (LIMIT + 1)), LIMIT + 6)
        assert await reader == []
        inbox.needs_reader = False
        with pytest.raises(StatusError):
            await inbox.batch(10)

    async def test_no_waiting_reader(self) -> None:
        """Messages that arrive while no reader waits are kept for the next one."""
        consumer = Consumer()
        inbox, source = make()
        inbox.consumer = consumer
        inbox.add(framed(b"one"), 8)
        assert source.arrivals == []
        assert await inbox.batch(10) == [b"one"]
        assert consumer.batches == []

    async def test_an_error_of_the_consumer(self) -> None:
        """A consumer rejects a message with an error, which the reader gets."""
        inbox, arrivals, reader = await self.waiting(Consumer())

        def consume(messages: list[bytes]) -> bool:
            inbox.reject(StatusError(Status.INTERNAL, "wrong"), len(messages))
            return True

        inbox.consumer.consume = consume  # type: ignore[union-attr, method-assign]
        inbox.add(framed(b"one"), 8)
        assert not arrivals.pop()()
        with pytest.raises(StatusError, match="wrong"):
            await reader
        assert inbox.messages_received == 0

    async def test_a_meter(self) -> None:
        """A meter removes messages from a batch, and its error follows the others."""

        def meter(messages: list[bytes]) -> StatusError | None:
            if b"two" not in messages:
                return None
            del messages[messages.index(b"two") :]
            return StatusError(Status.RESOURCE_EXHAUSTED, "too many")

        consumer = Consumer()
        inbox, arrivals, reader = await self.waiting(consumer)
        inbox.meter = meter
        data = framed(b"one") + framed(b"two") + framed(b"three")
        inbox.add(data, len(data))
        assert not arrivals.pop()()
        assert consumer.batches == [[b"one"]]
        with pytest.raises(StatusError, match="too many"):
            await reader
        assert inbox.messages_received == 1


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
