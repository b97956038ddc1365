"""The generated stub, with a fix for errors in the iterator of messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

from ..errors import CallError, ClosedError
from ..messages.service.v1 import ServiceStub as GeneratedStub
from ..wire import Cardinality, Deadline, MetadataLike
from .channel import Channel


class ServiceStub(GeneratedStub):
    """The generated stub of `service.v1.Service`: `chat(messages)` returns an iterator of replies.

    `messages` is an iterable, async or not, of `ChatReq`. Its end half-closes the call. An error in
    it cancels the call and is raised by the iterator of replies; betterproto2's own stub would
    wait forever. When the call ends first, an async generator of messages is closed. Iteration
    raises a `CallError` if the call does not end with status OK. Leaving it cancels the call.
    """

    def __init__(
        self,
        channel: Channel,
        *,
        timeout: float | None = None,
        deadline: Deadline | None = None,
        metadata: MetadataLike | None = None,
        wait_for_ready: bool = False,
    ) -> None:
        """Set the defaults of all calls.

        `timeout` is in seconds. `timeout`, `deadline` and `metadata` may also be passed to a call.
        With `wait_for_ready` a call waits while no server can be reached, instead of raising.
        """
        super().__init__(channel, timeout=timeout, deadline=deadline, metadata=metadata)
        self.wait_for_ready = wait_for_ready

    async def _stream_stream(
        self,
        route: str,
        request_iterator: Any,
        request_type: Any,
        response_type: Any,
        *,
        timeout: float | None = None,
        deadline: Deadline | None = None,
        metadata: MetadataLike | None = None,
    ) -> AsyncIterator[Any]:
        channel = cast(Channel, self.channel)
        async with channel.request(
            route,
            Cardinality.STREAM_STREAM,
            request_type,
            response_type,
            timeout=self.timeout if timeout is None else timeout,
            deadline=self.deadline if deadline is None else deadline,
            metadata=self.metadata if metadata is None else metadata,
            wait_for_ready=self.wait_for_ready,
        ) as stream:
            await stream.send_request()

            async def send() -> None:
                try:
                    await self._send_messages(stream, request_iterator)
                except (CallError, ClosedError):
                    pass  # the call has ended; the iterator of replies raises the reason
                except Exception as error:
                    stream.abort(error)
                finally:
                    if hasattr(request_iterator, "aclose"):
                        await request_iterator.aclose()

            sender = asyncio.create_task(send())
            try:
                async for response in stream:
                    yield response
            finally:
                sender.cancel()
                await asyncio.wait([sender])
