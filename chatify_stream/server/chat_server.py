"""ChatServer: the chat, health and reflection services, and your own, on one port."""

from __future__ import annotations

import asyncio
import ssl as ssl_module
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, Protocol

from ..address import check_method_path
from ..codec import ChatCodec
from ..errors import UsageError
from ..template import DEFAULT_TEMPLATE, reply_template
from ..wire import (
    ConnectionStatistics,
    Limits,
    MethodHandler,
    Page,
    Server,
    ServerObserver,
    ServerStatistics,
)
from .chat_service import CHAT_PATHS, ChatService, Handler
from .health import HealthService, ServingStatus
from .interceptors import Interceptor, intercepted
from .replying import Reply, replying
from .rooms import ROOMS_SERVICE, Node, RoomOptions, Rooms, RoomsService

__all__ = ["ChatServer", "Service"]

CHAT_SERVICE = "service.v1.Service"
HEALTH_SERVICE = "grpc.health.v1.Health"


_DEFAULT_ROOMS = RoomOptions()


class Service(Protocol):
    """A grpclib or betterproto2 service: what their generated base classes are."""

    def __mapping__(self) -> dict[str, MethodHandler]: ...


class ChatServer:
    """A gRPC server with the Chat service.

        async with ChatServer(reply=str.upper) as server:
            await server.start("127.0.0.1", 9000)
            await server.wait_closed()

    `reply` makes the answer to each message: a plain function, which must not block, or an async
    one. `handler` serves whole sessions instead. With neither the answer is `Hello {name}`.

    `grpc.health.v1.Health` is always served, and the same status on a plain `GET /healthz`.
    `reflection` adds the reflection services; for those to describe `services` too, pass their
    definitions in `descriptor_sets`: FileDescriptorSets, as
    `protoc --descriptor_set_out=FILE --include_imports` writes them.

    `paths` are additional names under which Chat is served, each of the form `/Service/Method`.

    `limits` are what one client may cost, such as `Limits(max_message_size=65536)`.

    `interceptors` stand around the handlers of all calls, the first one outermost. `observers` are
    told of connections and calls.

    `rooms` are for calls with the metadata `chat-room`, which `reply` and `handler` never see:
    `RoomOptions(broker="sqlite:///chat.db")` keeps what is said in them, by default it is gone
    with the server; None turns them off. `server.rooms` publishes and reads in them.
    """

    def __init__(
        self,
        *,
        reply: Reply | None = None,
        handler: Handler | None = None,
        services: Iterable[Service] = (),
        paths: Sequence[str] = (),
        reflection: bool = False,
        descriptor_sets: Sequence[bytes] = (),
        limits: Limits | None = None,
        rooms: RoomOptions | None = _DEFAULT_ROOMS,
        interceptors: Sequence[Interceptor] = (),
        observers: Sequence[ServerObserver] = (),
    ) -> None:
        if reply is not None and handler is not None:
            raise UsageError("pass reply= or handler=, not both")
        for name, function in {"reply": reply, "handler": handler}.items():
            if function is not None and not callable(function):
                raise UsageError(f"{name}= is a function, not {function!r}")
        if handler is None:
            handler = replying(reply_template(DEFAULT_TEMPLATE) if reply is None else reply)
        self._methods: dict[str, MethodHandler] = {}
        self._service_names: list[str] = []
        self._server: Server | None = None
        self._rooms_server: Server | None = None
        self._limits = limits
        self._interceptors = tuple(interceptors)
        self._observers = tuple(observers)
        self._reflection = reflection
        self._descriptor_sets = tuple(descriptor_sets)
        self.health = HealthService()
        """The health service: `set_status` tells clients of a service that does not serve."""
        try:
            for path in paths:
                check_method_path(path)
        except ValueError as error:
            raise UsageError(str(error)) from None
        self._node = None if rooms is None else Node(rooms)
        self._add(ChatService(handler, self._node, [*CHAT_PATHS, *paths]), [CHAT_SERVICE])
        self.add_service(self.health)
        if rooms is not None and rooms.service and rooms.service_port is None:
            self.add_service(RoomsService(self.rooms))
        for service in services:
            self.add_service(service)

    def add_service(self, service: Service) -> None:
        """Serves a grpclib or betterproto2 service beside Chat. Only before `start`."""
        if self._server is not None:
            raise UsageError("add services before start()")
        mapping = getattr(service, "__mapping__", None)
        if mapping is None:
            raise UsageError(
                f"{service!r} is not a grpclib or betterproto2 service: it has no __mapping__()"
            )
        self._add(service, list(dict.fromkeys(path.split("/")[1] for path in mapping())))

    def _add(self, service: Service, names: list[str]) -> None:
        methods = service.__mapping__()
        if taken := sorted(methods.keys() & self._methods.keys()):
            raise UsageError(f"{taken[0]} is served already")
        self._methods |= methods
        self._service_names += names

    async def start(
        self,
        host: str | None = "0.0.0.0",  # noqa: S104 - the default of the original service
        port: int = 9000,
        *,
        ssl: ssl_module.SSLContext | None = None,
        **options: Any,
    ) -> None:
        """Starts to accept connections, on a free port when `port` is 0.

        `host` None stands for all interfaces. Further options are those of
        `grpclib.server.Server.start`, such as `reuse_port`; with `sock` or `path` it listens there,
        and not on `host` and `port`. Raises `ListenError`, which says where and why, and
        `BrokerError` for rooms whose broker cannot be used.
        """
        if self._server is not None:
            raise UsageError("the server was started already")
        server = self._make_server(self._methods, self._service_names)
        if options.get("sock") is None and options.get("path") is None:
            options |= {"host": host, "port": port}
        if self._node is not None:
            await self._node.open()
        try:
            await self._start_rooms_service(ssl)
            await server.start(ssl=ssl, **options)
        except BaseException:
            await self._close_rooms()
            raise
        self._server = server
        for name in ("", *self._service_names):
            self.health.set_status(name, ServingStatus.SERVING)

    async def _start_rooms_service(self, ssl: ssl_module.SSLContext | None) -> None:
        """Starts the service of the rooms, where it has a port of its own."""
        options = None if self._node is None else self._node.options
        if options is not None and options.service and options.service_port is not None:
            service = RoomsService(self.rooms)
            methods = service.__mapping__() | self.health.__mapping__()
            self._rooms_server = self._make_server(methods, [ROOMS_SERVICE, HEALTH_SERVICE])
            await self._rooms_server.start(options.service_host, options.service_port, ssl=ssl)
            self.health.set_status(ROOMS_SERVICE, ServingStatus.SERVING)

    def _make_server(self, methods: dict[str, MethodHandler], names: Sequence[str]) -> Server:
        methods = methods | self._reflection_methods(names)
        return Server(
            [_Methods(intercepted(methods, self._interceptors))],
            codec=ChatCodec(),
            limits=self._limits,
            pages={"/healthz": self._health_page},
            observers=self._observers,
        )

    def _health_page(self) -> Page:
        """For load balancers that do not know gRPC."""
        status = self.health.status() or ServingStatus.UNKNOWN
        return Page(f"{status.name}\n", 200 if status is ServingStatus.SERVING else 503)

    def _reflection_methods(self, served: Sequence[str]) -> dict[str, MethodHandler]:
        if not self._reflection:
            return {}
        from .descriptors import DescriptorIndex, own_descriptor_set
        from .reflection import reflection_services

        index = DescriptorIndex([own_descriptor_set(), *self._descriptor_sets])
        names = [
            *served,
            "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection",
        ]
        methods: dict[str, MethodHandler] = {}
        for service in reflection_services(names, index):
            methods |= service.__mapping__()
        return methods

    @property
    def rooms(self) -> Rooms:
        """The rooms, to be used once the server is started.

        Raises `UsageError` when they are turned off.
        """
        if self._node is None:
            raise UsageError("this server has no rooms: it was made with rooms=None")
        return Rooms(self._node)

    @property
    def rooms_port(self) -> int:
        """The port of the service of the rooms, the server's own or another."""
        return self.port if self._rooms_server is None else self._rooms_server.port

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Host and port of every TCP socket that the server listens on."""
        return self._started().addresses

    @property
    def port(self) -> int:
        """The port that the server listens on."""
        return self._started().port

    def statistics(self) -> ServerStatistics:
        """What the server has done so far, on all connections, those that are closed included."""
        return self._started().statistics()

    def connection_statistics(self) -> list[ConnectionStatistics]:
        """What each connection that is open has done so far, in the order in which they came."""
        return self._started().connection_statistics()

    @property
    def open_calls(self) -> int:
        """How many calls are open now, of all services."""
        return 0 if self._server is None else self._server.open_calls

    async def drain(self, grace: float = 10.0) -> None:
        """Stops the server within `grace` seconds.

        It stops listening, reports NOT_SERVING and asks clients to open new calls elsewhere, all
        at once; lets open calls end by themselves; and before the time is over ends those that
        are left as `close` does. `close`, or a `drain` with less grace, may be called meanwhile,
        and ends the wait. Does nothing when the server was not started.
        """
        if not grace >= 0:
            raise UsageError(f"the grace has to be a number of seconds from 0, not {grace!r}")
        if self._server is not None:
            self.health.shut_down()
            if self._node is not None:
                self._node.drain(grace)
            await asyncio.gather(*(server.drain(grace) for server in self._servers()))
            await self._close_rooms()

    async def close(self) -> None:
        """Stops the server now: calls that are open end with UNAVAILABLE.

        May be called again. Does nothing when the server was not started.
        """
        if self._server is not None:
            self.health.shut_down()
            for server in self._servers():
                server.close()
                await server.wait_closed()
            await self._close_rooms()

    def _servers(self) -> list[Server]:
        return [each for each in (self._server, self._rooms_server) if each is not None]

    async def _close_rooms(self) -> None:
        if self._rooms_server is not None:
            self._rooms_server.close()
            await self._rooms_server.wait_closed()
        if self._node is not None:
            await self._node.close()

    async def wait_closed(self) -> None:
        """Waits until the server is closed, by whoever."""
        await self._started().wait_closed()

    async def __aenter__(self) -> ChatServer:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def _started(self) -> Server:
        if self._server is None:
            raise UsageError("the server was not started: await start() first")
        return self._server


class _Methods:
    """A mapping that is there already, as a service."""

    def __init__(self, methods: dict[str, MethodHandler]) -> None:
        self._methods = methods

    def __mapping__(self) -> dict[str, MethodHandler]:
        return self._methods
