"""Reassemble gRPC messages from the DATA frames of one stream.

Data is split into messages on arrival. The inbox delivers each message exactly once and in order.
Cancelling a read loses nothing.

Flow control: a message keeps its share of the receive window until the reader takes it, so a slow
reader slows its peer. Bytes of an incomplete message return to the window immediately, because a
message may be larger than the window. `MemoryBudget` limits how much incomplete data one connection
may hold. Above the limit these bytes stay in the window too.

Compressed messages are inflated when the reader takes them, so a waiting message never needs more
memory than the window accounts for. An error is delivered after the messages received before it.

grpclib 0.4.9 treated an empty DATA frame as end of stream (losing a message with status OK), lost
the prefix when a read was cancelled between prefix and body, and accepted messages of any size.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from itertools import repeat
from typing import Protocol

from grpclib.const import Status

from ...errors import StatusError
from .cancel_scope import clear_traceback
from .compression import IDENTITY, PREFIX, inflate
from .memory_budget import MemoryBudget

__all__ = ["Inbox", "Source"]

MAX_AT_ONCE = 32 * 1024
"""Bytes of messages that are dealt with at once: the answers to more would not leave at once."""

_ALL = repeat(None)
"""Steps without end."""

_NONE: deque[bytes] = deque()
"""No messages: an empty deque of its own would take 760 bytes of each stream."""


class _Compressed(bytes):
    """A message that has to be inflated."""


class Source(Protocol):
    """The connection that a stream is on."""

    memory_budget: MemoryBudget

    arrivals: list[Callable[[], bool]]
    """What is called at the end of a turn; each says whether nobody had to be woken."""

    def ack(self, stream_id: int, size: int) -> None:
        """Gives the peer a part of its window back, in bytes."""


class Inbox:
    """Stands in the place of grpclib's `Buffer`; `add`, `eof` and `unacked_size` are its API."""

    __slots__ = (
        "_error",
        "_is_asked_for",
        "_is_deferred",
        "_is_ended",
        "_is_uncut",
        "_max_size",
        "_memory_budget",
        "_messages",
        "_partial",
        "_source",
        "_stream_id",
        "_taken",
        "_uncredited_bytes",
        "_waiter",
        "_waiting",
        "at_once",
        "encoding",
        "has_compressed",
        "in_a_row",
    )

    def __init__(self, source: Source, stream_id: int, max_size: int) -> None:
        """`max_size`: bytes that a message may have."""
        self._source = source
        self._stream_id = stream_id
        self._memory_budget = source.memory_budget
        self.at_once: Callable[[], bool] | None = None
        """Takes messages and deals with them; False when its reader has to be woken."""
        self._is_deferred = False
        self._is_asked_for = False
        """`at_once` has taken messages, and asks for its reader."""
        self._max_size = max_size
        self.encoding = IDENTITY
        """The peer's `grpc-encoding`; to be set before messages are taken, not before they come."""
        self.has_compressed = False
        """A compressed message has come: taking messages takes time, which others may need."""
        self.in_a_row = 0
        """Messages that were given out since its reader last let others run."""
        self._messages = _NONE
        self._waiting = 0  # the bytes of those messages, prefixes included
        self._partial: bytearray | None = None  # the beginning of a message
        self._taken = 0  # what the window lacks, padding included
        self._uncredited_bytes = 0  # the bytes that are here although the window does not lack them
        self._error: StatusError | None = None
        self._is_ended = False
        self._is_uncut = False
        self._waiter: asyncio.Future[None] | None = None

    def limit(self, max_size: int) -> None:
        """Takes no larger messages from now on, and none of those that wait here already."""
        max_size = self._max_size = min(max_size, self._max_size)
        large = next((i for i, each in enumerate(self._messages) if len(each) > max_size), None)
        if large is not None:
            refusal = self._refusal(0, len(self._messages[large]))
            while len(self._messages) > large:
                self._waiting -= PREFIX.size + len(self._messages.pop())
            self._fail(refusal)
        elif (partial := self._partial) is not None and self._is_whole(partial):
            self._cut_partial(partial, _ALL)  # or what is here of it says that it will be too large
        self._settle()

    def add(self, data: bytes, window: int, most: int | None = None) -> int:
        """Adds the data of a frame that took `window` bytes of the window.

        Returns how many messages were cut from it. When there are more than `most`, `is_uncut` is
        true, and `add` with no data goes on.
        """
        before = len(self._messages)
        self._taken += window
        self._is_uncut = False
        if self._error is None:
            steps = _ALL if most is None else repeat(None, most)
            partial = self._partial
            if partial is not None:
                partial += data
                if self._is_whole(partial):
                    self._cut_partial(partial, steps)
            else:
                self._cut(data, steps)
            if self._partial is not None and self._is_too_much_here():
                self._fail(self._memory_budget.refusal())
            if self._messages or self._error is not None:
                self._wake()
        self._settle()
        return len(self._messages) - before

    @property
    def is_uncut(self) -> bool:
        """There may be messages in what has come that were not cut yet."""
        return self._is_uncut and self._partial is not None

    def eof(self) -> None:
        """The peer has ended the stream."""
        self._is_ended = True
        if self._partial is not None and self._error is None:
            self._fail(StatusError(Status.INTERNAL, "the stream ended in the middle of a message"))
        self._wake()

    def drop(self) -> None:
        """Nobody is to read what has come, or what still comes: it holds no window."""
        self._messages = _NONE
        self._waiting = 0
        self._fail(StatusError(Status.CANCELLED, "the call is over"))
        self._settle()

    def discard(self) -> None:
        """The call is over: nobody reads any more."""
        clear_traceback(self._error)
        self._messages = _NONE
        self._waiting = 0

    @property
    def bytes_waiting(self) -> int:
        """Of messages that have come whole, prefixes included."""
        return self._waiting

    def unacked_size(self) -> int:
        """What the window lacks, for a stream that is given up; nothing from then on."""
        taken, self._taken = self._taken, 0
        self._partial = None
        self._memory_budget.unstall(self._settle)
        self._memory_budget.uncredited_bytes -= self._uncredited_bytes
        self._uncredited_bytes = 0
        return taken

    async def next(self) -> bytes | None:
        """The next message; None after the last one. Raises `StatusError`."""
        while not self._messages or self._memory_budget.is_full:
            if self._messages:
                await self._memory_budget.room()
            elif (arrival := self._arrival()) is None:
                return None
            else:
                await arrival
        return self.next_nowait()

    def next_nowait(self) -> bytes | None:
        """The next message, if it has come; None if not, or if there is none.

        Raises `StatusError` for one that cannot be inflated.
        """
        if not self._messages:
            return None
        if self.has_compressed:
            return self._inflate_next()
        message = self._messages.popleft()
        self._waiting -= PREFIX.size + len(message)
        self._settle()
        return message

    async def batch(self, most: int) -> list[bytes]:
        """The messages that have arrived, at least one and at most so many; none at the end.

        None, too, when `at_once` has taken them and asked for its reader.
        """
        self._is_asked_for = False
        while not self._messages or self._memory_budget.is_full:
            if self._messages:
                await self._memory_budget.room()
                continue
            if (arrival := self._arrival()) is None:
                return []
            await arrival
            if self._is_asked_for:  # also when more has come since: what was taken comes first
                return []
        if self.has_compressed:
            return self._inflate_batch(most)
        return self.batch_nowait(most)

    def batch_nowait(self, most: int) -> list[bytes]:
        """The messages that have arrived, at most so many, when none of them is compressed."""
        if len(self._messages) <= most:
            messages = list(self._messages)
            self._messages = _NONE
            self._waiting = 0
        else:
            messages = [self._messages.popleft() for _ in range(most)]
            self._waiting -= PREFIX.size * most + sum(map(len, messages))
        self.in_a_row = len(messages)
        self._settle()
        return messages

    def _inflate_batch(self, most: int) -> list[bytes]:
        """As `batch`, but it stops once it has so many bytes that their answers would wait."""
        messages: list[bytes] = []
        size = 0
        while self._messages and len(messages) < most:
            try:
                message = self._inflate_next()
            except StatusError:
                if not messages:
                    raise
                break  # the next reader gets the error
            messages.append(message)
            size += len(message)
            if size >= MAX_AT_ONCE:
                break
        self.in_a_row = len(messages)
        return messages

    def _inflate_next(self) -> bytes:
        """The next message, compressed or not."""
        message = self._messages.popleft()
        self._waiting -= PREFIX.size + len(message)
        try:
            if type(message) is _Compressed:
                return inflate(message, self.encoding, self._max_size)
            return message
        except StatusError as error:
            self._messages = _NONE
            self._waiting = 0
            self._fail(error)
            raise
        finally:
            self._settle()

    def _arrival(self) -> asyncio.Future[None] | None:
        """To be awaited for more; None when no more can come."""
        if self._error is not None:
            raise self._error
        if self._is_ended:
            return None
        self._waiter = asyncio.get_running_loop().create_future()
        return self._waiter

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            if (
                self.at_once is None
                or self._is_ended
                or self._error is not None
                or self.has_compressed
            ):
                self._waiter.set_result(None)
            elif not self._is_deferred:
                self._is_deferred = True
                self._source.arrivals.append(self._deal)

    def _deal(self) -> bool:
        self._is_deferred = False
        if self._waiter is None or self._waiter.done():
            return False
        if (
            self.at_once is not None
            and self._waiting <= MAX_AT_ONCE
            and not self._memory_budget.is_full
        ):
            is_dealt_with = self.at_once()
            if is_dealt_with and not self._messages:
                return True
            self._is_asked_for = not is_dealt_with
        self._waiter.set_result(None)
        return False

    def _settle(self) -> None:
        """Gives back the window that no message holds: none that waits, or may not come yet."""
        excess = self._taken - self._waiting
        if excess > 0 and self._partial is not None:
            if self._is_uncut:
                excess -= len(self._partial)
            elif self._memory_budget.is_full:
                excess -= len(self._partial)
                self._memory_budget.stall(self._settle)
        if excess > 0:
            self._taken -= excess
            self._source.ack(self._stream_id, excess)
        uncredited_bytes = self._waiting - self._taken
        if self._partial is not None:
            uncredited_bytes += len(self._partial)
        if uncredited_bytes != self._uncredited_bytes:
            self._memory_budget.uncredited_bytes += uncredited_bytes - self._uncredited_bytes
            self._uncredited_bytes = uncredited_bytes

    def _is_too_much_here(self) -> bool:
        self._settle()
        return self._memory_budget.uncredited_bytes > self._memory_budget.max_uncredited_bytes

    def _is_whole(self, partial: bytearray) -> bool:
        """Whether there is something to cut, or to refuse, in the part that is here."""
        if len(partial) < PREFIX.size:
            return False
        flag, size = PREFIX.unpack_from(partial)
        return bool(flag > 1 or size > self._max_size or len(partial) >= PREFIX.size + size)

    def _cut_partial(self, partial: bytearray, steps: Iterator[None]) -> None:
        """Cuts the part that is here, which begins with a message or with a wrong prefix.

        As `_cut`, but a large message is copied once.
        """
        with memoryview(partial) as view:
            flag, size = PREFIX.unpack_from(view)
            stop = PREFIX.size + size
            if flag or size > self._max_size or stop > len(view):
                rest = bytes(view)
            else:
                next(steps)
                self._own_messages().append(bytes(view[PREFIX.size : stop]))
                self._waiting += stop
                rest = bytes(view[stop:])
        self._cut(rest, steps)

    def _cut(self, data: bytes, steps: Iterator[None]) -> None:
        """Cuts data that begins with a message into messages, one a step, and keeps the rest."""
        messages = self._own_messages() if len(data) >= PREFIX.size else self._messages
        prefix_size, max_size = PREFIX.size, self._max_size
        position, end = 0, len(data)
        for _ in steps:
            if end - position < prefix_size:
                break
            flag, size = PREFIX.unpack_from(data, position)
            if flag > 1 or size > max_size:
                self._fail(self._refusal(flag, size))
                break
            start = position + prefix_size
            stop = start + size
            if stop > end:
                break
            if flag:
                self.has_compressed = True
                messages.append(_Compressed(data[start:stop]))
            else:
                messages.append(data[start:stop])
            position = stop
        else:
            self._is_uncut = position < end
        self._waiting += position
        self._partial = None if self._error or position == end else bytearray(data[position:])

    def _own_messages(self) -> deque[bytes]:
        if self._messages is _NONE:
            self._messages = deque()
        return self._messages

    def _refusal(self, flag: int, size: int) -> StatusError:
        """The error for a message with a wrong prefix."""
        if flag > 1:
            return StatusError(
                Status.INTERNAL,
                f"the compressed flag of the message is {flag}; it has to be 0 or 1",
            )
        return StatusError(
            Status.RESOURCE_EXHAUSTED,
            f"the message has {size} bytes; at most {self._max_size} are allowed",
        )

    def _fail(self, error: StatusError) -> None:
        self._error = error
        self._partial = None
