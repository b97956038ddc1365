"""Report whether the server and each of its services accept calls: `grpc.health.v1.Health`.

Protocol: https://github.com/grpc/grpc/blob/master/doc/health-checking.md
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

from ..._version import __version__
from ...errors import StatusError, UnavailableError
from ...messages.grpc.health import v1
from ...wire import MethodHandler, ServerStream, Status

CHECK_PATH = "/grpc.health.v1.Health/Check"

ServingStatus = v1.HealthCheckResponseServingStatus


class HealthService(v1.HealthBase):
    """Holds the status of each service by name; `""` is the whole server.

    A `Watch` call receives the status at once and then each change. Of two changes in quick
    succession it may receive only the second.
    """

    def __init__(self) -> None:
        self._statuses: dict[str, ServingStatus] = {}
        self._changed = asyncio.Event()
        self._shut_down = False

    def set_status(self, service: str, status: ServingStatus) -> None:
        """Set the status of a service, which may be new. After `shut_down` it is NOT_SERVING."""
        self._statuses[service] = ServingStatus.NOT_SERVING if self._shut_down else status
        self._notify()

    def status(self, service: str = "") -> ServingStatus | None:
        """Return the status of a service, or None if the service is unknown."""
        return self._statuses.get(service)

    def shut_down(self) -> None:
        """Set every service to NOT_SERVING, and end the `Watch` calls after sending the change."""
        self._statuses = dict.fromkeys(self._statuses, ServingStatus.NOT_SERVING)
        self._shut_down = True
        self._notify()

    def __mapping__(self) -> dict[str, MethodHandler]:
        mapping: dict[str, Any] = dict(super().__mapping__())
        check: MethodHandler = mapping[CHECK_PATH]

        async def check_with_version(stream: ServerStream) -> None:
            stream.trailers["chatify-version"] = __version__
            await check.func(cast("Any", stream))

        mapping[CHECK_PATH] = check._replace(func=cast("Any", check_with_version))
        return mapping

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def check(self, message: v1.HealthCheckRequest) -> v1.HealthCheckResponse:
        status = self._statuses.get(message.service)
        if status is None:
            raise StatusError(
                Status.NOT_FOUND, f"this server has no service named {message.service!r}"
            )
        return v1.HealthCheckResponse(status=status)

    async def list(self, message: v1.HealthListRequest) -> v1.HealthListResponse:
        found = self._statuses.items()
        statuses = {name: v1.HealthCheckResponse(status=status) for name, status in found}
        return v1.HealthListResponse(statuses=statuses)

    async def watch(self, message: v1.HealthCheckRequest) -> AsyncIterator[v1.HealthCheckResponse]:
        sent: ServingStatus | None = None
        while True:
            changed = self._changed
            status = self._statuses.get(message.service, ServingStatus.SERVICE_UNKNOWN)
            if status != sent:
                sent = status
                yield v1.HealthCheckResponse(status=status)
            elif self._shut_down:
                raise UnavailableError(Status.UNAVAILABLE, "the server is shutting down")
            else:
                await changed.wait()
