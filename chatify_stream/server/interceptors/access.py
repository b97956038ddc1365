"""Who may call what: the interceptor that authenticates every call, and ends it in time.

Rules: it is the outermost interceptor. Health is open to everybody, for probes; reflection and the
service of the rooms need `admin` in all rooms; every other method needs a known user, and decides
about the rest itself: `rooms/permission` for rooms. Nothing is kept from call to call.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import cast

from ...auth import Authenticator, Credentials, Identity
from ...errors import CallError, Status, StatusError
from ...rooms.metadata import encode_trailers
from ...wire import ServerStream
from .chain import CallHandler
from .forwarded_for import client_address

__all__ = ["EXPIRED", "AccessControl"]

log = logging.getLogger(__name__)

OPEN = frozenset({"grpc.health.v1.Health"})
FOR_ADMINS = frozenset(
    {
        "chatify.rooms.v1.Rooms",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    }
)

TIMEOUT = 15.0
"""Seconds that an authenticator has; those of this library take less."""

EXPIRED = "the token, or the certificate, has expired; come back with a new one"


class AccessControl:
    """The interceptor."""

    def __init__(
        self, authenticator: Authenticator, *, clock: Callable[[], float] = time.time
    ) -> None:
        self.authenticator = authenticator
        """May be replaced, for calls from then on."""
        self._clock = clock

    def __call__(self, path: str, handler: CallHandler) -> CallHandler:
        service = path.split("/")[1]
        if service in OPEN:
            return handler
        needs_admin = service in FOR_ADMINS

        async def checked(stream: ServerStream) -> None:
            stream.identity = identity = await self._authenticate(path, stream)
            if needs_admin and not identity.is_admin:
                raise StatusError(
                    Status.PERMISSION_DENIED,
                    f"{path} is for administrators: it takes the right admin in all rooms (*)",
                )
            if identity.expires_at is None:
                await handler(stream)
                return
            rest = max(0.0, identity.expires_at - self._clock())
            timer = asyncio.get_running_loop().call_later(rest, _expire, stream)
            try:
                await handler(stream)
            finally:
                timer.cancel()

        return checked

    async def _authenticate(self, path: str, stream: ServerStream) -> Identity:
        call = Credentials(
            path,
            cast("Mapping[str, str | bytes]", stream.metadata),
            client_address(stream),
            stream.peer.cert() or None,
        )
        try:
            async with asyncio.timeout(TIMEOUT):
                identity: object = await self.authenticator.authenticate(call)
        except CallError:
            raise
        except TimeoutError:
            log.error("the authenticator took longer than %g s", TIMEOUT)
        except Exception:
            log.exception("the authenticator failed")
        else:
            if isinstance(identity, Identity):
                return identity
            log.error("the authenticator returned no Identity, but a %s", type(identity).__name__)
        raise StatusError(
            Status.UNAVAILABLE,
            "who calls could not be checked; try again later",
            metadata=encode_trailers(reconnect=True),
        )


def _expire(stream: ServerStream) -> None:
    stream.abort(
        StatusError(Status.UNAUTHENTICATED, EXPIRED, metadata=encode_trailers(reconnect=True))
    )
