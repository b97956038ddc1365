"""A connection of a channel: ready once the server has greeted, and with room for so many calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from ..connection.protocol import WireProtocol
from ..http2.frame_types import FRAME_KIND, SETTINGS
from .resolver import Endpoint

__all__ = ["ClientProtocol"]

LAST_STREAM = 2**31 - 1
"""The number of the last stream that a connection can have (RFC 9113, 5.1.1)."""


class ClientProtocol(WireProtocol):
    """A connection to `endpoint`."""

    def __init__(
        self,
        *args: Any,
        endpoint: Endpoint,
        on_capacity: Callable[[], None],
        on_lost: Callable[[ClientProtocol], None],
        **options: Any,
    ) -> None:
        """`on_capacity`: called when a call may have ended, or the limit on them been raised.

        `on_lost`: called when the connection is lost, and when one side wants to end it.
        """
        super().__init__(*args, on_last_call=lambda: on_lost(self), **options)
        self.endpoint = endpoint
        self._on_capacity = on_capacity
        self._on_lost = on_lost
        self.greeting: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        """Done when the server's settings have come: True; False when the connection was lost."""
        self.lost_by: BaseException | None = None
        """What the transport says of why, when that was not in order."""

    @property
    def is_usable(self) -> bool:
        """It takes new calls, as far as anybody knows."""
        return not (
            self.is_going_away
            or self.connection.is_closing()
            or self.connection._connection.highest_outbound_stream_id >= LAST_STREAM
        )

    @property
    def is_unused(self) -> bool:
        """No call was ever opened on it."""
        return self.connection._connection.highest_outbound_stream_id == 0

    @property
    def free_streams(self) -> int:
        """How many more calls the server would take now (RFC 9113, 5.1.2)."""
        h2_connection = self.connection._connection
        limit = h2_connection.remote_settings.max_concurrent_streams
        # Whoever has not left its call yet is counted here, though the call may have ended.
        open_calls = len(self.processor.streams)
        if open_calls >= limit:
            open_calls = h2_connection.open_outbound_streams
        return max(0, limit - open_calls)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost_by = exc
        super().connection_lost(exc)
        if not self.greeting.done():
            self.greeting.set_result(False)
        self._on_lost(self)

    def _to_h2(self, data: bytes) -> bool:
        goes_on = super()._to_h2(data)
        if data[FRAME_KIND] == SETTINGS and not self.greeting.done():
            self.greeting.set_result(True)
        # A call may have ended, or the limit been raised: more may be opened.
        self.connection.stream_close_waiter.set()
        self._on_capacity()
        return goes_on

    def _released(self) -> None:
        super()._released()
        self._on_capacity()
