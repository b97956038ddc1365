"""The services of one port, and the server that listens there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from ..codec import ChatCodec
from ..errors import UsageError
from ..server.interceptors.access import REFLECTION_SERVICES
from ..server.session import Interceptor
from ..wire import Limits, MethodHandler, Server, ServerObserver
from ..wire.server.calls import Pages


class Service(Protocol):
    """A grpclib or betterproto2 service, as their generated base classes define it."""

    def __mapping__(self) -> dict[str, MethodHandler]:
        """Return the methods by their paths, each `/package.Service/Method`."""


class ServiceTable:
    """The methods of the services, by their paths. It is itself a `Service`."""

    def __init__(self, reflection: bool = False, descriptor_sets: Sequence[bytes] = ()) -> None:
        """`reflection` adds the reflection services; they also describe `descriptor_sets`."""
        self._has_reflection = reflection
        self._descriptor_sets = tuple(descriptor_sets)
        self._methods: dict[str, MethodHandler] = {}
        self.names: list[str] = []
        """The full names of the services, without reflection."""

    def add(self, service: Service, *names: str) -> None:
        """Add a service under its own names, or under `names`.

        Raises `UsageError` for an object that is not a service, and for a method that another
        service has already.
        """
        if getattr(service, "__mapping__", None) is None:
            raise UsageError(
                f"{service!r} is not a grpclib or betterproto2 service: it has no __mapping__()"
            )
        methods = service.__mapping__()
        if taken := sorted(methods.keys() & self._methods.keys()):
            raise UsageError(f"{taken[0]} is already served; pass each service once")
        self._methods |= methods
        self.names += names or dict.fromkeys(path.split("/")[1] for path in methods)

    def __mapping__(self) -> dict[str, MethodHandler]:
        """Return all methods by their paths, with those of reflection.

        Raises `UsageError` for a descriptor set that cannot be parsed.
        """
        methods = dict(self._methods)
        if self._has_reflection:
            from ..server.services import reflection

            own = reflection.own_descriptor_set()
            index = reflection.DescriptorIndex([own, *self._descriptor_sets])
            for service in reflection.reflection_services(
                [*self.names, *REFLECTION_SERVICES], index
            ):
                methods |= service.__mapping__()
        return methods


class Listener:
    """A server of `wire`, and the address at which it will listen."""

    def __init__(
        self,
        service: Service,
        *,
        interceptors: Iterable[Interceptor],
        observers: Sequence[ServerObserver],
        limits: Limits | None,
        pages: Pages,
        **address: Any,
    ) -> None:
        """Make the server with the interceptors around its methods, the first outermost.

        `address` are the arguments of `Server.start`.
        """
        self._methods = service.__mapping__()
        for intercept in reversed(list(interceptors)):
            for path, method in self._methods.items():
                self._methods[path] = method._replace(func=intercept(path, method.func))
        self._address = address
        self._is_closed = False
        self.server = Server(
            [self], codec=ChatCodec(), limits=limits, pages=pages, observers=observers
        )

    def __mapping__(self) -> dict[str, MethodHandler]:
        return self._methods

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
