"""Apply the usage limits to calls, in an interceptor that runs after authentication.

Rules: Health, for probes, and the Rooms service, for backends, are not counted. A call above a
limit ends before its handler starts. A call that sends too many messages ends after the replies to
the messages within the limit. The limits per user apply to authenticated callers only.
"""

from __future__ import annotations

from collections.abc import Awaitable, Collection, Mapping
from typing import cast

from ...errors import StatusError
from ...limits import NO_LIMITS, UsageLimits
from ...rooms import DisconnectReason
from ...rooms.metadata import encode_trailers, requested_room, wants_room
from ...wire import ServerStream
from ..session import CallHandler
from ..usage import Usage, UsageStatistics, Visit
from .forwarded_for import client_address

NOT_COUNTED = frozenset({"grpc.health.v1.Health", "chatify.rooms.v1.Rooms"})


class UsageControl:
    """Applies the usage limits to the calls of one server."""

    def __init__(self, limits: UsageLimits | None, chat_paths: Collection[str]) -> None:
        """`chat_paths` are the methods whose calls may join rooms."""
        self._usage = Usage(limits or NO_LIMITS)
        self._chat_paths = frozenset(chat_paths)

    @property
    def limits(self) -> UsageLimits | None:
        """The limits, or None. They may be replaced while calls are open."""
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
            user = getattr(stream.identity, "user", None)
            room = requested_room(metadata) if joins else None
            try:
                visit = self._usage.enter(user, client_address(stream), room, joins=joins)
            except StatusError as error:
                if joins:
                    disconnect = DisconnectReason.OVER_LIMIT(why=error.message)
                    stream.trailers.update(encode_trailers(disconnect.reconnect))
                raise
            if not visit.counts:  # saves the memory of a coroutine for the whole call
                return handler(stream)
            return _count_messages(handler, stream, visit)

        return limited


async def _count_messages(handler: CallHandler, stream: ServerStream, visit: Visit) -> None:
    stream.meter = visit.meter
    try:
        await handler(stream)
    finally:
        visit.leave()
