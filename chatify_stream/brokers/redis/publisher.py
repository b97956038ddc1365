"""Messages on their way into Redis.

Messages published in a room while an answer is awaited leave together in one call after it, in
order. The messages of one `publish` are never separated. Rooms do not wait for each other. Messages
that may already be in the log are published again only if they have ids, by which Redis detects
duplicates.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from ...errors import BrokerError
from ...rooms import WINDOW_MS, Draft, Outcome, Receipt, Retention
from ...rooms.position import Position
from .errors import LostError
from .feed import LogPosition
from .scripts import HELD, RoomKeys, digest_of

MAX_QUEUE = 20_000
"""Number of waiting calls of `publish` above which more are rejected."""

MAX_CALL = 256
"""Messages in one call, unless a single `publish` has more."""

MAX_CALL_SIZE = 256 * 1024
"""Characters in one call, unless a single `publish` has more."""

HOLD_MS = 3000
"""Milliseconds for which a room accepts no messages after a restart of Redis. In this time servers
that know newer positions than Redis report them."""

HOLD_RETRY_DELAY = 0.2
"""Seconds before a rejected call is tried again."""


class Waiting(NamedTuple):
    """One call of `publish`."""

    drafts: Sequence[Draft]
    messages: Sequence[str]
    """The messages as stored in Redis."""
    future: asyncio.Future[list[Receipt]]
    deadline: float

    @property
    def may_repeat(self) -> bool:
        return all(draft.id for draft in self.drafts)

    @property
    def size(self) -> int:
        return sum(map(len, self.messages))


def message_of(draft: Draft) -> str:
    """Return the stored form. Raises `UnicodeEncodeError` for an invalid text."""
    written = json.dumps(draft, ensure_ascii=False)
    written.encode()
    return written


def arguments_of(
    keys: RoomKeys, batch: Sequence[Waiting], nonce: str, known: LogPosition, retention: Retention
) -> tuple[tuple[str, ...], list[str | int]]:
    """Return the keys and arguments of the script; `nonce` is the nonce of the call."""
    all_keys = list(keys.four)
    arguments: list[str | int] = [HOLD_MS, *known, nonce]
    arguments += [retention.count, int(retention.age * 1000), WINDOW_MS]
    for waiting in batch:
        for draft, message in zip(waiting.drafts, waiting.messages, strict=True):
            number = 0
            if draft.id:
                all_keys.append(keys.of_id(draft.user, draft.id))
                number = len(all_keys)
            arguments += [number, draft.sent_at_ms, digest_of(draft.text), message]
    return tuple(all_keys), arguments


def receipts_of(reply: Sequence[Any]) -> list[Receipt]:
    epoch = reply[0].decode()
    outcomes = zip(reply[2::3], reply[3::3], reply[4::3], strict=True)
    return [
        Receipt(Outcome(outcome.decode()), Position(epoch, offset), int(sent))
        for outcome, offset, sent in outcomes
    ]


class Publisher:
    def __init__(
        self, send: Callable[[str, list[Waiting]], Awaitable[list[Any]]], url: str, timeout: float
    ) -> None:
        """`send` publishes in a room and returns the reply; `timeout` is in seconds."""
        self._send = send
        self._url = url
        self._timeout = timeout
        self._waiting: dict[str, deque[Waiting]] = {}
        self._count = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def publish(self, room: str, drafts: Sequence[Draft]) -> list[Receipt]:
        messages = [message_of(draft) for draft in drafts]
        if not drafts:
            return []
        if self._count >= MAX_QUEUE:
            raise BrokerError(self._url, f"{MAX_QUEUE} messages are waiting for Redis")
        loop = asyncio.get_running_loop()
        waiting = Waiting(drafts, messages, loop.create_future(), loop.time() + self._timeout)
        queue = self._waiting.get(room)
        if queue is None:
            queue = self._waiting[room] = deque()
            task = loop.create_task(self._serve(room, queue))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        queue.append(waiting)
        self._count += 1
        try:
            return await waiting.future
        finally:
            self._count -= 1

    async def close(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _serve(self, room: str, queue: deque[Waiting]) -> None:
        try:
            while batch := _next_batch(queue):
                is_again = False
                while batch:
                    batch = await self._publish(room, batch, is_again)
                    is_again = True
        finally:
            del self._waiting[room]

    async def _publish(self, room: str, batch: list[Waiting], is_again: bool) -> list[Waiting]:
        """Publish a batch; return the calls to repeat because their outcome is unknown."""
        deadline = batch[0].deadline
        try:
            receipts = receipts_of(await self._send_until_accepted(room, batch, deadline))
        except LostError as error:
            is_late = asyncio.get_running_loop().time() > deadline
            again = [] if is_late else [waiting for waiting in batch if waiting.may_repeat]
            lost = [waiting for waiting in batch if waiting not in again]
            _fail(lost, BrokerError(self._url, str(error)))
            return again
        except BrokerError as error:
            _fail(batch, error)
            return []
        except BaseException:
            _fail(batch, BrokerError(self._url, "internal error"))
            raise
        for waiting in batch:
            count = len(waiting.drafts)
            own, receipts = receipts[:count], receipts[count:]
            if not waiting.future.done():
                waiting.future.set_result(_as_published(own, waiting.drafts) if is_again else own)
        return []

    async def _send_until_accepted(
        self, room: str, batch: list[Waiting], deadline: float
    ) -> list[Any]:
        while True:
            reply = await self._send(room, batch)
            if reply[0] != HELD:
                return reply
            if asyncio.get_running_loop().time() + HOLD_RETRY_DELAY > deadline:
                raise BrokerError(self._url, "Redis was restarted and is being checked")
            await asyncio.sleep(HOLD_RETRY_DELAY)


def _as_published(receipts: list[Receipt], drafts: Sequence[Draft]) -> list[Receipt]:
    """Report duplicates of this very call as published, since its first attempt published them."""
    offsets: set[int] = set()
    found = []
    for receipt, draft in zip(receipts, drafts, strict=True):
        is_first = receipt.position.offset not in offsets
        is_ours = receipt.sent_at_ms == draft.sent_at_ms
        offsets.add(receipt.position.offset)
        if receipt.outcome is Outcome.DUPLICATE and is_ours and is_first:
            receipt = receipt._replace(outcome=Outcome.PUBLISHED)
        found.append(receipt)
    return found


def _next_batch(queue: deque[Waiting]) -> list[Waiting]:
    """Return the calls to send together, without cancelled ones."""
    batch: list[Waiting] = []
    count = size = 0
    while queue:
        waiting = queue[0]
        if not waiting.future.done():
            count += len(waiting.drafts)
            size += waiting.size
            if batch and (count > MAX_CALL or size > MAX_CALL_SIZE):
                break
            batch.append(waiting)
        queue.popleft()
    return batch


def _fail(batch: Sequence[Waiting], error: Exception) -> None:
    for waiting in batch:
        if not waiting.future.done():
            waiting.future.set_exception(error)
