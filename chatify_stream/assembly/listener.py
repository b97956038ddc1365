"""Listen on one port and serve calls there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..codec import ChatCodec
from ..server.interceptors.chain import Interceptor, intercepted
from ..wire import Limits, MethodHandler, Server, ServerObserver
from ..wire.server.http_pages import Pages

__all__ = ["Listener"]


class Listener:
    """A server of `wire`, and the address at which it will listen."""

    def __init__(
        self,
        methods: Mapping[str, MethodHandler],
        *,
        interceptors: Sequence[Interceptor],
        observers: Sequence[ServerObserver],
        limits: Limits | None,
        pages: Pages,
        **address: Any,
    ) -> None:
        """Make the server; `address` are the arguments of `Server.start`."""
        self._address = address
        self._is_closed = False
        self.server = Server(
            [_Methods(intercepted(methods, interceptors))],
            codec=ChatCodec(),
            limits=limits,
            pages=pages,
            observers=observers,
        )

    async def start(self) -> None:
        """Listen. Raises `ListenError`, which says where and why."""
        await self.server.start(**self._address)

    async def drain(self, grace: float) -> None:
        """Let open calls end within `grace` seconds, then close; see `Server.drain`."""
        if not self._is_closed:
            await self.server.drain(grace)
            self._is_closed = True

    async def close(self) -> None:
        """End the open calls and wait until they have ended, unless `drain` has done so."""
        if not self._is_closed:
            self.server.close()
            await self.server.wait_closed()
            self._is_closed = True


class _Methods:
    """Methods as a service."""

    def __init__(self, methods: dict[str, MethodHandler]) -> None:
        self._methods = methods

    def __mapping__(self) -> dict[str, MethodHandler]:
        return self._methods
