"""Holds calls to the limits of use: the interceptor behind that which finds out who calls.

Rules: Health, for probes, and the service of the rooms, for backends, are not counted. A call that
is over a limit ends before its handler begins; one that sends too much ends behind the answers to
what came before. `chat-user` is not believed: a user is who an authenticator says it is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Collection, Mapping
from typing import cast

from ...errors import StatusError
from ...rooms import DisconnectReason
from ...rooms.metadata import encode_trailers, requested_room, wants_room
from ...wire import ServerStream
from ..interceptors.forwarded_for import client_address
from ..session import CallHandler
from .limits import UsageLimits
from .usage import NO_LIMITS, Usage, UsageStatistics, Visit

__all__ = ["UsageControl"]

NOT_COUNTED = frozenset({"grpc.health.v1.Health", "chatify.rooms.v1.Rooms"})


class UsageControl:
    """The interceptor of one server."""

    def __init__(self, limits: UsageLimits | None, chat_paths: Collection[str]) -> None:
        """`chat_paths`: the methods whose calls may be for rooms."""
        self._usage = Usage(limits or NO_LIMITS)
        self._chat_paths = frozenset(chat_paths)

    @property
    def limits(self) -> UsageLimits | None:
        return None if self._usage.limits is NO_LIMITS else self._usage.limits

    @limits.setter
    def limits(self, limits: UsageLimits | None) -> None:
        self._usage.limits = limits or NO_LIMITS

    def statistics(self) -> UsageStatistics:
        return self._usage.statistics()

    def __call__(self, path: str, handler: CallHandler) -> CallHandler:
        if path.split("/")[1] in NOT_COUNTED:
            return handler
        is_chat = path in self._chat_paths

        def limited(stream: ServerStream) -> Awaitable[None]:
            metadata = cast("Mapping[str, str | bytes]", stream.metadata or {})
            joins = is_chat and wants_room(metadata)
            try:
                visit = self._usage.enter(
                    getattr(stream.identity, "user", None),
                    client_address(stream),
                    requested_room(metadata) if joins else None,
                    joins=joins,
                )
            except StatusError as error:
                if joins:
                    disconnect = DisconnectReason.OVER_LIMIT(why=error.message)
                    stream.trailers.update(encode_trailers(disconnect.reconnect))
                raise
            if not visit.counts:  # then nothing is there for it as long as the call
                return handler(stream)
            return _visiting(handler, stream, visit)

        return limited


async def _visiting(handler: CallHandler, stream: ServerStream, visit: Visit) -> None:
    stream.meter = visit.meter
    try:
        await handler(stream)
    finally:
        visit.leave()
