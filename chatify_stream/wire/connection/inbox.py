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
from dataclasses import dataclass, field
from itertools import repeat
from typing import Protocol

from grpclib.const import Status

from ...errors import StatusError
from .cancel_scope import clear_traceback
from .compression import IDENTITY, PREFIX, inflate
from .connection import WireConnection
from .memory_budget import MemoryBudget

MAX_AT_ONCE = 32 * 1024
"""Bytes of messages that are handled at once. The replies to more could not be sent at once."""

Meter = Callable[[list[bytes]], StatusError | None]
"""Called with each batch of encoded messages before it is delivered.

It removes the messages from the list that exceed its limit, and returns the error that ends the
call after the remaining ones.
"""

_ALL = repeat(None)

_EMPTY: deque[bytes] = deque()
"""The messages of an idle stream: a deque of its own would take 760 bytes."""


class _Compressed(bytes):
    """A message that has to be inflated."""


class BatchConsumer(Protocol):
    """Handles messages within the read that brought them, without waking a task."""

    def consume(self, messages: list[bytes]) -> bool:
        """Handle encoded messages; the list is the consumer's own.

        Must neither wait nor raise. Return False if the reader of the inbox has to go on with
        them, which wakes its task.
        """


@dataclass(eq=False, repr=False, slots=True)
class Inbox:
    _source: WireConnection
    _stream_id: int
    _max_size: int
    consumer: BatchConsumer | None = None
    """Handles messages that arrive while a reader waits."""
    needs_reader: bool = False
    """The consumer has returned False. The reader resets this."""
    meter: Meter | None = None
    messages_received: int = 0
    encoding: str = IDENTITY
    """The peer's `grpc-encoding`. Set it before messages are taken, not before they arrive."""
    has_compressed: bool = False
    """A compressed message has arrived: taking messages may keep other tasks waiting."""
    in_a_row: int = 0
    """Number of messages taken since the reader last yielded to other tasks."""
    bytes_waiting: int = 0
    """Bytes of complete messages, prefixes included."""
    _messages: deque[bytes] = field(init=False)
    _memory_budget: MemoryBudget = field(init=False)
    _partial: bytearray | None = None  # the beginning of a message
    _taken: int = 0  # bytes missing from the window, with padding
    _uncredited_bytes: int = 0  # bytes that are held but not missing from the window
    _error: StatusError | None = None
    _is_deferred: bool = False
    _is_ended: bool = False
    _is_uncut: bool = False
    _waiter: asyncio.Future[None] | None = None

    def __post_init__(self) -> None:
        self._messages = _EMPTY
        self._memory_budget = self._source.memory_budget

    def limit(self, max_size: int) -> None:
        """Reject messages larger than `max_size` from now on, and those that wait already."""
        max_size = self._max_size = min(max_size, self._max_size)
        large = next((i for i, each in enumerate(self._messages) if len(each) > max_size), None)
        if large is not None:
            refusal = self._refusal(0, len(self._messages[large]))
            while len(self._messages) > large:
                self.bytes_waiting -= PREFIX.size + len(self._messages.pop())
            self._fail(refusal)
        elif (partial := self._partial) is not None and self._is_whole(partial):
            self._cut_partial(partial, _ALL)  # its prefix may announce a message that is too large
        self._settle()

    def add(self, data: bytes, window: int, max_messages: int | None = None) -> int:
        """Add the data of a frame that took `window` bytes of the receive window.

        Return the number of messages that were cut from it. If it holds more than `max_messages`,
        `is_uncut` is True, and calling `add` with no data continues.
        """
        before = len(self._messages)
        self._taken += window
        self._is_uncut = False
        if self._error is None:
            steps = _ALL if max_messages is None else repeat(None, max_messages)
            partial = self._partial
            if partial is not None:
                partial += data
                if self._is_whole(partial):
                    self._cut_partial(partial, steps)
            else:
                self._cut(data, steps)
            if self._partial is not None:
                self._settle()
                budget = self._memory_budget
                if budget.uncredited_bytes > budget.max_uncredited_bytes:
                    self._fail(budget.refusal())
            if self._messages or self._error is not None:
                self._wake()
        self._settle()
        return len(self._messages) - before

    @property
    def is_uncut(self) -> bool:
        """The received data may hold messages that were not cut yet."""
        return self._is_uncut and self._partial is not None

    def eof(self) -> None:
        self._is_ended = True
        if self._partial is not None and self._error is None:
            self._fail(StatusError(Status.INTERNAL, "the stream ended in the middle of a message"))
        self._wake()

    def reject(self, error: StatusError, count: int = 0) -> None:
        """Deliver `error` instead of the last `count` messages taken and of all later ones."""
        self.messages_received -= count
        self._source.messages_received -= count
        self._drop_messages()
        self._fail(error)
        self._settle()

    def drop(self) -> None:
        """Discard received and future data: it holds no window."""
        self.reject(StatusError(Status.CANCELLED, "the call is over"))

    def discard(self) -> None:
        """Free the messages after the end of the call."""
        clear_traceback(self._error)
        self.consumer = None
        self._drop_messages()

    def unacked_size(self) -> int:
        """Return the bytes missing from the window of an abandoned stream, and forget them."""
        taken, self._taken = self._taken, 0
        self._partial = None
        self._memory_budget.unstall(self._settle)
        self._memory_budget.uncredited_bytes -= self._uncredited_bytes
        self._uncredited_bytes = 0
        return taken

    async def next(self) -> bytes | None:
        """Wait for the next message. Return None after the last one. Raise `StatusError`."""
        while True:
            while not self._messages or self._memory_budget.is_full:
                if self._messages:
                    await self._memory_budget.room()
                elif (arrival := self._arrival()) is None:
                    return None
                else:
                    await arrival
            message = self.next_nowait()
            if message is not None:
                return message

    def next_nowait(self) -> bytes | None:
        """Return the next message, or None if none has arrived.

        Raise `StatusError` for a message that cannot be inflated.
        """
        if not self._messages:
            return None
        if self.has_compressed:
            message = self._inflate_next()
        else:
            message = self._messages.popleft()
            self.bytes_waiting -= PREFIX.size + len(message)
            self._settle()
        return message if self._deliver([message]) else None

    async def batch(self, limit: int) -> list[bytes]:
        """Wait for messages. Return 1 to `limit` of them, or none after the last one.

        Return none, too, when the consumer needs the reader (`needs_reader`).
        """
        while True:
            while not self._messages or self._memory_budget.is_full:
                if self._messages:
                    await self._memory_budget.room()
                    continue
                if (arrival := self._arrival()) is None:
                    return []
                await arrival
                if self.needs_reader:  # even if more has arrived: the consumer's messages are first
                    return []
            if self.has_compressed:
                messages = self._inflate_batch(limit)
            else:
                messages = self._take_batch(limit)
            if messages:
                return messages

    def dispatch(self) -> bool:
        """Give the messages of a read to the consumer. Return False if the reader was woken."""
        self._is_deferred = False
        waiter = self._waiter
        if waiter is None or waiter.done():
            return False
        consumer = self.consumer
        is_allowed = self.bytes_waiting <= MAX_AT_ONCE and not self._memory_budget.is_full
        if consumer is not None and is_allowed:
            messages = self._take_batch(self._source.fair_share.quantum.messages)
            if messages and not consumer.consume(messages):
                self.needs_reader = True
            elif not self._messages and self._error is None:
                return True
        waiter.set_result(None)
        return False

    def _take_batch(self, limit: int) -> list[bytes]:
        """Return up to `limit` messages, none of which is compressed."""
        if len(self._messages) <= limit:
            messages = list(self._messages)
            self._messages = _EMPTY
            self.bytes_waiting = 0
        else:
            messages = [self._messages.popleft() for _ in range(limit)]
            self.bytes_waiting -= PREFIX.size * limit + sum(map(len, messages))
        self.in_a_row = len(messages)
        self._settle()
        return self._deliver(messages)

    def _deliver(self, messages: list[bytes]) -> list[bytes]:
        """Count the messages, after the meter has removed those over its limit."""
        if self.meter is not None and (refusal := self.meter(messages)) is not None:
            self.reject(refusal)
        count = len(messages)
        self.messages_received += count
        self._source.messages_received += count
        return messages

    def _inflate_batch(self, limit: int) -> list[bytes]:
        """Take messages until there are enough bytes that their replies would have to wait."""
        messages: list[bytes] = []
        size = 0
        while self._messages and len(messages) < limit:
            try:
                message = self._inflate_next()
            except StatusError:
                if not messages:
                    raise
                break  # the error is delivered next
            messages.append(message)
            size += len(message)
            if size >= MAX_AT_ONCE:
                break
        self.in_a_row = len(messages)
        return self._deliver(messages)

    def _inflate_next(self) -> bytes:
        """Take the next message, compressed or not."""
        message = self._messages.popleft()
        self.bytes_waiting -= PREFIX.size + len(message)
        try:
            if type(message) is _Compressed:
                return inflate(message, self.encoding, self._max_size)
            return message
        except StatusError as error:
            self._drop_messages()
            self._fail(error)
            raise
        finally:
            self._settle()

    def _arrival(self) -> asyncio.Future[None] | None:
        """Return a future to await for more messages, or None if there will be none."""
        if self._error is not None:
            raise self._error
        if self._is_ended:
            return None
        self._waiter = asyncio.get_running_loop().create_future()
        return self._waiter

    def _wake(self) -> None:
        """Wake the reader, or let the consumer handle the messages at the end of the read."""
        if self._waiter is not None and not self._waiter.done():
            is_over = self._is_ended or self._error is not None
            if self.consumer is None or is_over or self.has_compressed:
                self._waiter.set_result(None)
            elif not self._is_deferred:
                self._is_deferred = True
                self._source.arrivals.append(self.dispatch)

    def _settle(self) -> None:
        """Return the window that no waiting message and no held-back beginning occupies."""
        excess = self._taken - self.bytes_waiting
        if excess > 0 and self._partial is not None:
            if self._is_uncut:
                excess -= len(self._partial)
            elif self._memory_budget.is_full:
                excess -= len(self._partial)
                self._memory_budget.stall(self._settle)
        if excess > 0:
            self._taken -= excess
            self._source.write_buffer.return_window(self._stream_id, excess)
        uncredited_bytes = self.bytes_waiting - self._taken
        if self._partial is not None:
            uncredited_bytes += len(self._partial)
        if uncredited_bytes != self._uncredited_bytes:
            self._memory_budget.uncredited_bytes += uncredited_bytes - self._uncredited_bytes
            self._uncredited_bytes = uncredited_bytes

    def _is_whole(self, partial: bytearray) -> bool:
        """Return whether the partial data begins with a whole message or a wrong prefix."""
        if len(partial) < PREFIX.size:
            return False
        flag, size = PREFIX.unpack_from(partial)
        return bool(flag > 1 or size > self._max_size or len(partial) >= PREFIX.size + size)

    def _cut_partial(self, partial: bytearray, steps: Iterator[None]) -> None:
        """Cut partial data with a whole message or a wrong prefix; copy a large message once."""
        with memoryview(partial) as view:
            flag, size = PREFIX.unpack_from(view)
            stop = PREFIX.size + size
            if flag or size > self._max_size or stop > len(view):
                rest = bytes(view)
            else:
                next(steps)
                self._own_messages().append(bytes(view[PREFIX.size : stop]))
                self.bytes_waiting += stop
                rest = bytes(view[stop:])
        self._cut(rest, steps)

    def _cut(self, data: bytes, steps: Iterator[None]) -> None:
        """Cut data into messages, one a step, and keep the rest. It begins with a prefix."""
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
        self.bytes_waiting += position
        self._partial = None if self._error or position == end else bytearray(data[position:])

    def _own_messages(self) -> deque[bytes]:
        if self._messages is _EMPTY:
            self._messages = deque()
        return self._messages

    def _refusal(self, flag: int, size: int) -> StatusError:
        if flag > 1:
            return StatusError(
                Status.INTERNAL,
                f"the compressed flag of the message is {flag}; it has to be 0 or 1",
            )
        return StatusError(
            Status.RESOURCE_EXHAUSTED,
            f"the message has {size} bytes; at most {self._max_size} are allowed",
        )

    def _drop_messages(self) -> None:
        self._messages = _EMPTY
        self.bytes_waiting = 0

    def _fail(self, error: StatusError) -> None:
        self._error = error
        self._partial = None
