"""Authenticate every call, and end it when its credentials expire.

Health needs no authentication, so that probes can call it. Reflection and the Rooms service need
the right `admin` in all rooms. Every other method needs an authenticated user, and checks further
rights itself: `rooms/join` does so for rooms. No state is kept between calls.
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
from ..session import CallHandler
from .forwarded_for import client_address

log = logging.getLogger(__name__)

UNAUTHENTICATED_SERVICES = frozenset({"grpc.health.v1.Health"})
REFLECTION_SERVICES = (
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
)
ADMIN_SERVICES = frozenset({"chatify.rooms.v1.Rooms", *REFLECTION_SERVICES})

TIMEOUT = 15.0
"""Seconds that an authenticator may take; those of this package need less."""

EXPIRED = "the token or client certificate has expired; reconnect with a new one"


class AccessControl:
    """The interceptor that authenticates calls. Only the address header runs before it."""

    def __init__(
        self, authenticator: Authenticator, *, clock: Callable[[], float] = time.time
    ) -> None:
        self.authenticator = authenticator
        """May be replaced; the new authenticator applies to calls that are made afterwards."""
        self._clock = clock

    def __call__(self, path: str, handler: CallHandler) -> CallHandler:
        service = path.split("/")[1]
        if service in UNAUTHENTICATED_SERVICES:
            return handler
        needs_admin = service in ADMIN_SERVICES

        async def checked(stream: ServerStream) -> None:
            stream.identity = identity = await self._authenticate(path, stream)
            if needs_admin and not identity.is_admin:
                raise StatusError(
                    Status.PERMISSION_DENIED,
                    f"{path} needs the right admin in all rooms (*); call it as an administrator",
                )
            if identity.expires_at is None:
                await handler(stream)
                return
            seconds = max(0.0, identity.expires_at - self._clock())
            timer = asyncio.get_running_loop().call_later(seconds, _expire, stream)
            try:
                await handler(stream)
            finally:
                timer.cancel()

        return checked

    async def _authenticate(self, path: str, stream: ServerStream) -> Identity:
        metadata = cast("Mapping[str, str | bytes]", stream.metadata)
        call = Credentials(path, metadata, client_address(stream), stream.peer.cert() or None)
        try:
            async with asyncio.timeout(TIMEOUT):
                identity: object = await self.authenticator.authenticate(call)
        except CallError:
            raise
        except TimeoutError:
            log.error("authenticator timed out after %g s", TIMEOUT)
        except Exception:
            log.exception("authenticator failed")
        else:
            if isinstance(identity, Identity):
                return identity
            log.error(
                "authenticator returned a %s; it must return an Identity", type(identity).__name__
            )
        raise StatusError(
            Status.UNAVAILABLE,
            "the caller could not be authenticated; try again later",
            metadata=encode_trailers(reconnect=True),
        )


def _expire(stream: ServerStream) -> None:
    stream.abort(
        StatusError(Status.UNAUTHENTICATED, EXPIRED, metadata=encode_trailers(reconnect=True))
    )
