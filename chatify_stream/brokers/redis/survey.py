"""Surveys among the servers that share one Redis, over pub/sub.

Every server subscribes to one common channel for commands and to one of its own for answers.
PUBLISH returns the number of receivers, and so the number of answers to expect. The asking server
receives its own command too and counts itself. Both channels share a slot, and therefore one
master in a Redis Cluster. A lost message is not sent again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from itertools import count

from ...errors import BrokerError
from ..base import Answers
from .errors import LostError
from .listener import Listener
from .pipeline import Ask
from .scripts import Keys
from .shards import Shards

ANSWER_TIMEOUT = 2.0
"""Seconds to wait for answers."""


class Surveys:
    def __init__(self, keys: Keys, node: str, shards: Shards) -> None:
        self._keys = keys
        self._node = node
        self._all, self._own = keys.of_servers(""), keys.of_servers(node)
        self._shards = shards
        self._on_survey: Callable[[bytes], bytes] | None = None
        self._numbers = count(1)
        self._replies: dict[int, asyncio.Queue[tuple[str, bytes]]] = {}
        """Senders and answers, by the number of the survey."""
        self._answering: set[asyncio.Task[None]] = set()
        self._listener: Listener | None = None
        self._subscribed: set[str] = set()
        self._is_listening = asyncio.Event()

    async def open(self, on_survey: Callable[[bytes], bytes]) -> None:
        """Wait until both channels are subscribed. `on_survey` answers the surveys of others."""
        self._on_survey = on_survey
        self.listen()
        await self._is_listening.wait()

    async def close(self) -> None:
        """Stop answering; also ends `open`."""
        self._on_survey = None
        self._is_listening.set()
        for task in self._answering:
            task.cancel()
        if self._answering:
            await asyncio.wait(self._answering)

    def listen(self) -> None:
        """Move the channels to the listener that serves their slot now."""
        listener = self._shards.of(self._keys.servers_slot).listener
        if listener is not self._listener:
            for channel in (self._all, self._own):
                if self._listener is not None:
                    self._listener.unsubscribe(channel)
                listener.subscribe(channel)
            self._listener = listener

    async def survey(self, command: bytes) -> Answers:
        """Send `command` and collect answers; see `Broker.survey`. Raises `BrokerError`."""
        number, answers = next(self._numbers), []
        replies = self._replies[number] = asyncio.Queue()
        try:
            message = f"{self._node} {number} ".encode() + command
            missing = await self._publish(self._all, message)
            with suppress(TimeoutError):
                async with asyncio.timeout(ANSWER_TIMEOUT):
                    while missing > 0:
                        sender, answer = await replies.get()
                        missing -= 1
                        if sender != self._node:
                            answers.append(answer)
        except LostError as error:
            raise BrokerError(self._shards.url, str(error)) from error
        finally:
            del self._replies[number]
        return Answers(answers, missing)

    def has_channel(self, channel: str) -> bool:
        return channel in (self._all, self._own)

    def on_subscribed(self, channel: str) -> None:
        self._subscribed.add(channel)
        if len(self._subscribed) == 2:
            self._is_listening.set()

    def on_message(self, channel: str, payload: bytes) -> None:
        sender, number, body = payload.split(b" ", 2)
        if channel == self._own or sender.decode() == self._node:
            if (replies := self._replies.get(int(number))) is not None:  # otherwise it is late
                replies.put_nowait((sender.decode(), body))
        elif self._on_survey is not None:
            self._answer(sender.decode(), number, self._on_survey(body))

    def _answer(self, asker: str, number: bytes, answer: bytes) -> None:
        message = b"%b %b %b" % (self._node.encode(), number, answer)
        task = asyncio.create_task(self._send(self._keys.of_servers(asker), message))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _send(self, channel: str, message: bytes) -> None:
        deadline = asyncio.get_running_loop().time() + ANSWER_TIMEOUT
        with suppress(BrokerError, LostError):  # the asking server stops waiting by itself
            await self._publish(channel, message, deadline)

    async def _publish(self, channel: str, message: bytes, deadline: float | None = None) -> int:
        words = (self._shards.publish_verb, channel, message)
        ask = Ask(self._keys.servers_slot, words, may_repeat=False, size=len(message))
        receivers: int = await self._shards.write(ask, deadline)
        return receivers
