"""A connection of a channel: ready after the server's greeting, with a limited number of calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from ..connection.protocol import LAST_STREAM, WireProtocol
from ..http2.frame_types import FRAME_KIND, SETTINGS
from .resolver import Endpoint


class ClientProtocol(WireProtocol):
    def __init__(
        self,
        *args: Any,
        endpoint: Endpoint,
        on_capacity: Callable[[], None],
        on_lost: Callable[[ClientProtocol], None],
        **options: Any,
    ) -> None:
        """`on_capacity`: called when a call may have ended, or the server may allow more of them.

        `on_lost`: called when the connection is lost, and when one side begins to end it.
        """
        super().__init__(None, *args, **options)
        self.endpoint = endpoint
        self._on_capacity = on_capacity
        self._on_lost = on_lost
        self.greeting: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        """True when the server's settings arrive, False when the connection is lost before."""
        self.lost_by: BaseException | None = None
        """The transport's error, if the connection was not closed in order."""

    @property
    def is_usable(self) -> bool:
        """Whether the connection takes new calls, as far as is known."""
        connection = self.connection
        return not (
            connection.is_going_away
            or connection.is_closing()
            or connection.h2.highest_outbound_stream_id >= LAST_STREAM
        )

    @property
    def is_unused(self) -> bool:
        return self.connection.h2.highest_outbound_stream_id == 0

    @property
    def free_streams(self) -> int:
        """The number of further calls that the server would take now (RFC 9113, 5.1.2)."""
        h2 = self.connection.h2
        limit = h2.remote_settings.max_concurrent_streams
        # A call that has ended counts here until the caller leaves it.
        open_calls = len(self.connection.streams)
        if open_calls >= limit:
            open_calls = h2.open_outbound_streams
        return max(0, limit - open_calls)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost_by = exc
        super().connection_lost(exc)
        if not self.greeting.done():
            self.greeting.set_result(False)
        self._on_lost(self)

    def feed_h2(self, data: bytes) -> bool:
        goes_on = super().feed_h2(data)
        if data[FRAME_KIND] == SETTINGS and not self.greeting.done():
            self.greeting.set_result(True)
        # A call may have ended, or the limit may have been raised.
        self.connection.stream_closed.set()
        self._on_capacity()
        return goes_on

    def stream_released(self) -> None:
        super().stream_released()
        self._on_capacity()

    def _may_ping(self) -> bool:
        """Follow grpclib's configuration, if it asks for pings: by default not without a call."""
        config = self._config
        return (
            config._keepalive_time is None
            or config._keepalive_permit_without_calls
            or not self.is_idle
        )

    def _refuse_calls(self) -> None:
        self._on_lost(self)
