"""ChatServer: the chat, health and reflection services, and your own, on one port."""

from __future__ import annotations

import asyncio
import ssl as ssl_module
from collections.abc import Callable, Collection, Iterable, Sequence
from ipaddress import ip_network
from types import TracebackType
from typing import Any, Protocol

from ..address import Address, check_method_path
from ..auth import Authenticator
from ..brokers import Broker
from ..codec import ChatCodec
from ..config.template import DEFAULT_TEMPLATE, reply_template
from ..errors import UsageError
from ..server.interceptors.access import AccessControl
from ..server.interceptors.access_log import AccessLog
from ..server.interceptors.chain import Interceptor, intercepted
from ..server.interceptors.forwarded_for import AddressHeader
from ..server.metrics import MetricsOptions, Sources, load_metrics
from ..server.reply_handler import Reply, replying
from ..server.rooms import ROOMS_SERVICE, Node, RoomOptions, Rooms, RoomsService
from ..server.services.chat import CHAT_PATHS, ChatService, Handler
from ..server.services.health import HealthService, ServingStatus
from ..server.tls import ServerTLS, TLSOptions
from ..server.tracing import TracingOptions, load_tracing
from ..server.usage import UsageControl, UsageLimits, UsageStatistics
from ..server.watchdog import Watchdog
from ..wire import (
    ConnectionStatistics,
    Limits,
    MethodHandler,
    Page,
    Server,
    ServerObserver,
    ServerStatistics,
)

__all__ = ["ChatServer", "Service"]

CHAT_SERVICE = "service.v1.Service"
HEALTH_SERVICE = "grpc.health.v1.Health"

ROOMS_READINESS = f"{CHAT_SERVICE}/rooms"
"""Health has it where there are rooms; it does not serve while their broker is away."""


_DEFAULT_ROOMS = RoomOptions()
_DEFAULT_USAGE = UsageLimits()

SSL = ssl_module.SSLContext | Callable[[], ssl_module.SSLContext] | None


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

    `grpc.health.v1.Health` is always served, and the same status on a plain `GET /healthz`;
    `GET /readyz` is 200 only while rooms have their broker, too.
    `reflection` adds the reflection services; for those to describe `services` too, pass their
    definitions in `descriptor_sets`: FileDescriptorSets, as
    `protoc --descriptor_set_out=FILE --include_imports` writes them.

    `paths` are additional names under which Chat is served, each of the form `/Service/Method`.

    `limits` are what one client may cost, such as `Limits(max_message_size=65536)`.

    `interceptors` stand around the handlers of all calls, the first one outermost. `observers` are
    told of connections and calls.

    `auth` finds out who makes a call, of every service but Health: a `JwtAuthenticator`, a
    `CertificateAuthenticator`, or one of your own. Without it nobody is asked who they are.

    `access_log` writes a line to the logger `chatify_stream.access` when a connection or a session
    opens, and when it closes. `log_stalls` says in the log what blocks the event loop for longer
    than so many seconds.

    `metrics` are for Prometheus, and need the extra `metrics`. `tracing` has a span of
    OpenTelemetry for each call, and needs the extra `tracing`.

    `tls` has the certificate, which is read at `start`, and again whenever its files change.
    `proxy_protocol_from` are the IP addresses and networks of proxies whose connections begin with
    a header of the PROXY protocol, version 1 or 2, and then are those of whom it names; with None
    nobody's do. On a Unix socket, everybody's do where it is not None.

    `usage` is how much one session, one user and one address may do, such as
    `UsageLimits(messages_per_user=Rate(50, 10.0))`; None for no such limits. `address_header` is
    the header in which trusted proxies name the address of their client.

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
        auth: Authenticator | None = None,
        access_log: bool = False,
        log_stalls: float | None = None,
        metrics: MetricsOptions | None = None,
        tracing: TracingOptions | bool = False,
        tls: TLSOptions | None = None,
        proxy_protocol_from: Collection[str] | None = None,
        usage: UsageLimits | None = _DEFAULT_USAGE,
        address_header: AddressHeader | None = None,
    ) -> None:
        if reply is not None and handler is not None:
            raise UsageError("pass reply= or handler=, not both")
        for name, function in {"reply": reply, "handler": handler}.items():
            if function is not None and not callable(function):
                raise UsageError(f"{name}= is a function, not {function!r}")
        if tracing is True:
            tracing = TracingOptions()
        self._tracing = load_tracing(tracing) if tracing else None
        if handler is None:
            reply = reply_template(DEFAULT_TEMPLATE) if reply is None else reply
            if self._tracing is not None:
                reply = self._tracing.reply(reply)
            handler = replying(reply, in_context=self._tracing is not None)
        self._methods: dict[str, MethodHandler] = {}
        self._service_names: list[str] = []
        self._server: Server | None = None
        self._rooms_server: Server | None = None
        self._limits = limits
        chat_paths = [*CHAT_PATHS, *paths]
        self._access = None if auth is None else AccessControl(auth)
        self._usage = UsageControl(usage, chat_paths)
        self._metrics = None if metrics is None else load_metrics(metrics, chat_paths)
        log = AccessLog() if access_log else None
        around: list[Interceptor | None] = [
            address_header,
            self._access,
            self._usage,
            *interceptors,
            None if log is None else log.intercept,
        ]
        self._interceptors = [each for each in around if each is not None]
        watching: list[ServerObserver | None] = [
            None if self._tracing is None else self._tracing.calls,  # the others are in its spans
            None if self._metrics is None else self._metrics.observer,
            *observers,
            log,
        ]
        self._observers = [each for each in watching if each is not None]
        self._tls_options = tls
        self._tls: ServerTLS | None = None
        try:
            self._proxies = (
                None
                if proxy_protocol_from is None
                else [ip_network(each) for each in proxy_protocol_from]
            )
        except ValueError as error:
            raise UsageError(f"proxy_protocol_from: {error}") from None
        self._watchdog = None if log_stalls is None else Watchdog(log_stalls)
        self._reflection = reflection
        self._descriptor_sets = tuple(descriptor_sets)
        self.health = HealthService()
        """The health service: `set_status` tells clients of a service that does not serve."""
        try:
            for path in paths:
                check_method_path(path)
        except ValueError as error:
            raise UsageError(str(error)) from None
        self._node = None if rooms is None else self._make_node(rooms)
        self._add(ChatService(handler, self._node, chat_paths), [CHAT_SERVICE])
        self.add_service(self.health)
        if rooms is not None and rooms.service and rooms.service_port is None:
            self.add_service(RoomsService(self.rooms))
        for service in services:
            self.add_service(service)

    def _make_node(self, rooms: RoomOptions) -> Node:
        def watched(broker: Broker) -> Broker:
            if self._tracing is not None:
                broker = self._tracing.watched(broker)
            return broker if self._metrics is None else self._metrics.watched(broker)

        observers = [] if self._tracing is None else [self._tracing.calls]
        node = Node(rooms, watch_broker=watched, observers=observers)
        node.pulse.on_availability = self._set_readiness
        return node

    def _set_readiness(self, is_available: bool) -> None:
        status = ServingStatus.SERVING if is_available else ServingStatus.NOT_SERVING
        self.health.set_status(ROOMS_READINESS, status)

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
        `grpclib.server.Server.start`, such as `reuse_port`, which counts for all its ports; with
        `sock` or `path` it listens there, and not on `host` and `port`. `ssl` is for TLS without
        `tls`. Raises `ListenError`, which says where and why, `BrokerError` for rooms whose broker
        cannot be used, and `ConfigError` for a certificate that cannot be.
        """
        if self._server is not None:
            raise UsageError("the server was started already")
        if ssl is not None and self._tls_options is not None:
            raise UsageError("pass ssl= or tls=, not both")
        tls = None if self._tls_options is None else ServerTLS(self._tls_options)
        context = ssl if tls is None else tls.context
        server = self._make_server(self._methods, self._service_names)
        if options.get("sock") is None and options.get("path") is None:
            options |= {"host": host, "port": port}
        if self._node is not None:
            await self._node.open()
        try:
            reuse_port = bool(options.get("reuse_port"))
            self._start_metrics(reuse_port)
            await self._start_rooms_service(context, reuse_port)
            await server.start(ssl=context, proxies=self._proxies, **options)
        except BaseException:
            await self._close_rooms()
            await self._close_metrics()
            raise
        self._server = server
        self._tls = tls
        if tls is not None:
            tls.start_watching()
        for name in ("", *self._service_names):
            self.health.set_status(name, ServingStatus.SERVING)
        if self._node is not None:
            self._node.address = str(Address(*server.addresses[0])) if server.addresses else ""
        if self._watchdog is not None:
            self._watchdog.start()

    def _start_metrics(self, reuse_port: bool) -> None:
        if self._metrics is not None:
            sources = Sources(
                servers=lambda: [server.statistics() for server in self._servers()],
                node=self._node,
                uses_refused=lambda: self._usage.statistics().refused,
                certificate_end=lambda: None if self._tls is None else self._tls.ends_at,
                status=lambda: (self.health.status() or ServingStatus.UNKNOWN).name or "",
            )
            self._metrics.start(sources, reuse_port=reuse_port)

    async def _close_metrics(self) -> None:
        if self._metrics is not None:
            await self._metrics.close()

    async def _start_rooms_service(self, context: SSL, reuse_port: bool) -> None:
        """Starts the service of the rooms, where it has a port of its own."""
        options = None if self._node is None else self._node.options
        if options is not None and options.service and options.service_port is not None:
            service = RoomsService(self.rooms)
            methods = service.__mapping__() | self.health.__mapping__()
            self._rooms_server = self._make_server(methods, [ROOMS_SERVICE, HEALTH_SERVICE])
            await self._rooms_server.start(
                options.service_host, options.service_port, ssl=context, reuse_port=reuse_port
            )
            self.health.set_status(ROOMS_SERVICE, ServingStatus.SERVING)

    def _make_server(self, methods: dict[str, MethodHandler], names: Sequence[str]) -> Server:
        methods = methods | self._reflection_methods(names)
        if self._metrics is not None:
            self._metrics.serve(methods)
        return Server(
            [_Methods(intercepted(methods, self._interceptors))],
            codec=ChatCodec(),
            limits=self._limits,
            pages={"/healthz": self._health_page, "/readyz": self._readiness_page},
            observers=self._observers,
        )

    def _health_page(self) -> Page:
        """For load balancers that do not know gRPC."""
        return _page_of(self.health.status())

    def _readiness_page(self) -> Page:
        """Likewise, and whether rooms have their broker."""
        return _page_of(self.health.status(ROOMS_READINESS) or self.health.status())

    def _reflection_methods(self, served: Sequence[str]) -> dict[str, MethodHandler]:
        if not self._reflection:
            return {}
        from ..server.services.descriptors import DescriptorIndex, own_descriptor_set
        from ..server.services.reflection import reflection_services

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
    def limits(self) -> Limits:
        """What one client may cost; set, it counts for connections that are made from then on."""
        return self._limits or Limits()

    @limits.setter
    def limits(self, limits: Limits) -> None:
        self._limits = limits
        for server in self._servers():
            server.limits = limits

    def reload_tls(self, options: TLSOptions | None = None) -> bool:
        """Reads the certificate again, or another one; says whether anything has changed.

        Its files are looked at every few seconds as it is. Connections that are open stay as they
        are. Raises `ConfigError` when it cannot be used, which leaves that of before in place.
        """
        if self._tls is None:
            raise UsageError("the server has no TLS: pass tls= when it is made, and start it")
        return self._tls.reload(options)

    @property
    def auth(self) -> Authenticator | None:
        """Who finds out who calls. Another one may be set, for calls from then on.

        Raises `UsageError` where that would begin, or cease, to ask callers who they are.
        """
        return None if self._access is None else self._access.authenticator

    @auth.setter
    def auth(self, authenticator: Authenticator | None) -> None:
        if (authenticator is None) is not (self._access is None):
            raise UsageError("authentication is turned on or off by a restart")
        if self._access is not None and authenticator is not None:
            self._access.authenticator = authenticator

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
    def metrics_port(self) -> int:
        """The port of the metrics. Raises `UsageError` when there is none."""
        if self._metrics is None:
            raise UsageError("this server has no metrics: it was made without metrics=")
        return self._metrics.port

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
    def usage(self) -> UsageLimits | None:
        """The limits of use; set, they count from then on, for sessions that are open, too.

        Messages of sessions that were opened while no limit of messages or bytes concerned them
        stay uncounted.
        """
        return self._usage.limits

    @usage.setter
    def usage(self, limits: UsageLimits | None) -> None:
        self._usage.limits = limits

    def usage_statistics(self) -> UsageStatistics:
        """What each limit of use has refused so far, and how many users and addresses are known.

        `connections_refused_by` of `statistics` has what was refused at once.
        """
        return self._usage.statistics()

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
            await self._close_metrics()
            self._stop_watching()

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
            await self._close_metrics()
            self._stop_watching()

    def _stop_watching(self) -> None:
        if self._tls is not None:
            self._tls.stop_watching()
        if self._watchdog is not None:
            self._watchdog.stop()

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


def _page_of(status: ServingStatus | None) -> Page:
    status = status or ServingStatus.UNKNOWN
    return Page(f"{status.name}\n", 200 if status is ServingStatus.SERVING else 503)
