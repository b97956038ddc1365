"""The generated stub, with its one fault mended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

from ..errors import CallError, ClosedError
from ..messages.service.v1 import ServiceStub as GeneratedStub
from ..wire import Cardinality, Deadline, MetadataLike
from .channel import Channel

__all__ = ["ServiceStub"]


class ServiceStub(GeneratedStub):
    """The generated stub of `service.v1.Service`: `chat(messages)` gives the replies.

    betterproto2's own never looks at the task that sends the messages, so that an error in their
    iterator hangs the call for ever. Here it cancels the call and is raised to the reader. An
    async generator of messages is closed when the call has ended before it.
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
        """What its calls have unless they say otherwise; `wait_for_ready` they all have."""
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
                    pass  # the call has ended: the reader learns why from the call itself
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
