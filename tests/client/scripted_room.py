"""A server whose room follows a script for each session."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

from chatify_stream import Backoff, ChatReq, ChatRsp, Session, Status, StatusError
from chatify_stream.client import CHAT_PATH
from chatify_stream.codec import ChatCodec
from chatify_stream.messages.service.v1 import ChatRspKind
from chatify_stream.wire import Cardinality, MethodHandler, Server, ServerStream

from ..support.waiting import until

__all__ = ["QUICKLY", "TIMEOUT", "RoomCall", "come_back", "scripted", "stay_away"]

TIMEOUT = 20.0

QUICKLY = Backoff(initial=0.001, factor=1.6, jitter=0.5, maximum=0.01)


class RoomCall:
    """One call of a room client."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.metadata: Mapping[str, str | bytes] = session.metadata

    async def greet(
        self, offset: int = 0, *, epoch: str = "e", recovered: bool = False, **more: str | bytes
    ) -> None:
        """Let the client in. `more` is metadata, such as `user_bin=b"..."`."""
        await self.session.send_initial_metadata(
            {
                "chat-session": "s",
                "chat-epoch": epoch,
                "chat-offset": str(offset),
                "chat-recovered": str(recovered).lower(),
                **{f"chat-{key.replace('_', '-')}": value for key, value in more.items()},
            }
        )

    async def publish(
        self,
        offset: int,
        text: str = "",
        *,
        sender: str = "grace",
        id: str = "",  # noqa: A002
        sent_at_ms: int = 0,
    ) -> None:
        await self.session.send(
            ChatRsp(message=text, sender=sender, id=id, offset=offset, sent_at_ms=sent_at_ms)
        )

    async def tell(self, kind: ChatRspKind, sender: str = "", text: str = "", id: str = "") -> None:  # noqa: A002
        await self.session.send(ChatRsp(kind=kind, sender=sender, message=text, id=id))

    async def acknowledge(
        self, offset: int, request: ChatReq | None = None, *, user: str = "ada"
    ) -> ChatReq:
        """Acknowledge the request, or the next one."""
        if request is None:
            request = await self.hear()
        await self.publish(offset, request.name, sender=user, id=request.id)
        return request

    async def hear(self) -> ChatReq:
        """Return the next request."""
        request = await self.session.receive()
        assert request is not None, "the client has half-closed"
        return request

    async def half_closed(self) -> None:
        """Wait for the half-close, without messages before it."""
        assert await self.session.receive() is None


Script = Callable[[RoomCall], Awaitable[None]]


def come_back(status: Status = Status.UNAVAILABLE, text: str = "", **more: str) -> StatusError:
    """Return an error after which the client reconnects."""
    return StatusError(status, text, metadata=_trailers("yes", more))


def stay_away(
    status: Status = Status.PERMISSION_DENIED, text: str = "", **more: str
) -> StatusError:
    """Return an error after which the client does not reconnect."""
    return StatusError(status, text, metadata=_trailers("no", more))


def _trailers(reconnect: str, more: Mapping[str, str]) -> dict[str, str]:
    return {
        "chat-reconnect": reconnect,
        **{key.replace("_", "-"): value for key, value in more.items()},
    }


@asynccontextmanager
async def scripted(*scripts: Script) -> AsyncIterator[str]:
    """Start a server whose calls run the scripts in order, and return its address.

    All scripts must finish. A call without a script gets UNIMPLEMENTED.
    """
    waiting = list(scripts)
    failures: list[BaseException] = []
    running = 0

    async def chat(stream: ServerStream) -> None:
        nonlocal running
        if not waiting:
            raise StatusError(Status.UNIMPLEMENTED, "there is no script for this call")
        script = waiting.pop(0)
        running += 1
        try:
            await script(RoomCall(Session(stream)))
        except (AssertionError, TypeError, AttributeError) as error:
            failures.append(error)
            raise
        finally:
            running -= 1

    class Service:
        def __mapping__(self) -> dict[str, MethodHandler]:
            return {CHAT_PATH: MethodHandler(chat, Cardinality.STREAM_STREAM, ChatReq, ChatRsp)}

    server = Server([Service()], codec=ChatCodec())
    await server.start("127.0.0.1", 0)
    try:
        async with asyncio.timeout(TIMEOUT):
            yield f"127.0.0.1:{server.port}"
        await until(lambda: not running, "all scripts have ended")
    finally:
        server.close()
        await server.wait_closed()
        if failures:
            raise failures[0]
    assert not waiting, f"{len(waiting)} of the calls were not made"
