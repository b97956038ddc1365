"""Log each connection and each call: the client, the method and the result.

One line is written when a connection or a session opens, and one when it closes. A call with one
request and one reply has one line, when it ends; so has a call that is rejected before its handler
runs. No line contains the text of a message, or metadata other than the names of the room and the
user. Values that clients choose are quoted as Python literals, so they cannot break the line.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from itertools import count
from typing import cast

from ...rooms.metadata import JoinRequest, wants_room
from ...wire import CallEnd, ConnectionStatistics, ServerObserver, ServerStream, Status
from ..session import CallHandler, peer_of

ACCESS_LOGGER = "chatify_stream.access"

_CHOSEN_BY_CLIENTS = ("room", "user", "reason")

Fields = dict[str, str | int | float]


class AccessLog(ServerObserver):
    """Writes to the logger `chatify_stream.access`, at level INFO.

    Each record has the attributes `event`, such as "session closed", and `fields`, a dict.
    """

    def __init__(self) -> None:
        self._log = logging.getLogger(ACCESS_LOGGER)
        self._numbers = count(1)

    def connection_opened(self, address: str | None) -> None:
        self._write("connection opened", {"peer": address or "unix"})

    def connection_refused(self, address: str | None) -> None:
        self._write("connection refused", {"peer": address or "unix"})

    def connection_closed(self, statistics: ConnectionStatistics, reason: str | None) -> None:
        self._write(
            "connection closed",
            {
                "peer": statistics.peer or "unix",
                "reason": reason or "left",
                "duration": round(statistics.age, 3),
                "calls": statistics.streams_opened,
                "messages_received": statistics.messages_received,
                "messages_sent": statistics.messages_sent,
                "bytes_received": statistics.bytes_received,
                "bytes_sent": statistics.bytes_sent,
            },
        )

    def call_started(self, stream: ServerStream) -> CallEnd:
        stream.log_fields = {"call": str(next(self._numbers))}
        return partial(self._call_ended, stream, time.monotonic())

    def intercept(self, path: str, handler: CallHandler) -> CallHandler:
        """Log that a session opens; the innermost `Interceptor`, so no other has rejected it."""

        async def logged(stream: ServerStream) -> None:
            if not stream.is_unary:
                self._write("session opened", _call_fields(stream))
            await handler(stream)

        return logged

    def _call_ended(
        self, stream: ServerStream, started: float, status: Status | None, message: str | None
    ) -> None:
        statistics = stream.statistics()
        details = dict(stream.log_fields)
        reason = details.pop("ending", None) or message
        fields = _call_fields(stream)
        fields |= {name: value for name, value in details.items() if value and name not in fields}
        fields["status"] = "RESET" if status is None else status.name
        if reason:
            fields["reason"] = reason
        fields["duration"] = round(time.monotonic() - started, 3)
        fields["messages_received"] = statistics.messages_received
        fields["messages_sent"] = statistics.messages_sent
        self._write("call" if stream.is_unary else "session closed", fields)

    def _write(self, event: str, fields: Fields) -> None:
        if self._log.isEnabledFor(logging.INFO):
            words = " ".join(
                f"{name}={value!r}" if name in _CHOSEN_BY_CLIENTS else f"{name}={value}"
                for name, value in fields.items()
            )
            self._log.info(event + ": %s", words, extra={"event": event, "fields": fields})


def _call_fields(stream: ServerStream) -> Fields:
    """Return the fields that are known when the handler of a call begins."""
    fields: Fields = {
        "call": stream.log_fields.get("call", ""),
        "peer": str(peer_of(stream)),
        "method": stream.method,
    }
    metadata = cast("Mapping[str, str | bytes]", stream.metadata or {})
    if stream.client_address is not None:
        fields["client"] = stream.client_address
    user = getattr(stream.identity, "user", None)
    if wants_room(metadata):
        with suppress(ValueError):  # the call is rejected for that
            join = JoinRequest.decode(metadata)
            fields["room"] = join.room
            user = user or join.user
    if user:
        fields["user"] = user
    return fields
