"""ChatServer: the Chat, health and reflection services, and those of the user, on one port."""

from __future__ import annotations

import asyncio
import ssl as ssl_module
from collections.abc import Collection, Iterable, Sequence
from functools import partial
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

from ..address import Address, check_method_path
from ..auth import Authenticator
from ..config.settings import DEFAULT_TEMPLATE, reply_template
from ..errors import UsageError
from ..limits import UsageLimits
from ..server.interceptors.access import AccessControl
from ..server.interceptors.forwarded_for import AddressHeader
from ..server.interceptors.usage import UsageControl
from ..server.load_monitor import LoadMonitor
from ..server.reply_handler import Reply
from ..server.rooms import RoomOptions, Rooms, RoomsService
from ..server.services.chat import CHAT_PATHS, ChatService, Handler
from ..server.services.health import HealthService
from ..server.session import Interceptor
from ..server.telemetry import MetricsOptions, TracingOptions
from ..server.tls import ServerTLS, TLSOptions
from ..server.usage import UsageStatistics
from ..wire import ConnectionStatistics, Limits, Server, ServerObserver, ServerStatistics
from .listener import Listener, Service, ServiceTable
from .observability import BrokerHealth, Observability, health_pages, health_part
from .parts import Part, Parts

CHAT_SERVICE = "service.v1.Service"

_DEFAULT_ROOMS = RoomOptions()
_DEFAULT_USAGE = UsageLimits()


class ChatServer:
    """A gRPC server with the Chat service.

        async with ChatServer(reply=str.upper) as server:
            await server.start("127.0.0.1", 9000)
            await server.wait_closed()

    The server also serves `grpc.health.v1.Health`, and the same status to a plain GET over HTTP/2:
    `/healthz` has status 200 while the server takes calls and 503 otherwise; `/readyz` is 200 only
    while the broker of the rooms is available, too.

    Nothing is opened before `start`, so a server can be made outside an event loop. Leaving the
    context closes the server. All arguments are optional:

    `reply` returns the reply to each message of a direct session. It is an async function, or a
    plain function, which must not block. The default replies `Hello {name}`.

    `handler` is an async function that serves a whole direct session, instead of `reply`.

    `services` are grpclib or betterproto2 services to serve beside Chat.

    `paths` are more paths at which to serve Chat, each of the form `/Service/Method`.

    `reflection` adds the gRPC reflection services. For them to describe `services` as well, pass
    `descriptor_sets`: serialized FileDescriptorSets, as
    `protoc --descriptor_set_out=FILE --include_imports` writes them.

    `limits` bound what one client can use, such as `Limits(max_message_size=65536)`.

    `rooms` are the options of rooms, which serve the calls with the metadata `chat-room` instead
    of `reply` and `handler`. Messages are kept in memory and lost when the server stops, unless
    the options name another broker: `RoomOptions(broker="sqlite:///chat.db")`. None turns rooms
    off.

    `interceptors` run around the handlers of all calls, the first interceptor outermost.
    `observers` are notified of connections and calls.

    `auth` authenticates the calls of every service except Health: a `JwtAuthenticator`, a
    `CertificateAuthenticator`, or an authenticator of your own. None turns authentication off.

    `access_log` logs to `chatify_stream.access` when a connection or session opens and when it
    closes.

    `log_stalls` is a time in seconds: code that blocks the event loop for longer is logged, with
    its stack. None turns this off.

    `metrics` exports metrics to Prometheus and needs the extra `metrics`. `tracing` makes an
    OpenTelemetry span for each call and needs the extra `tracing`; True stands for the default
    `TracingOptions`.

    `tls` names the files of the certificate and its key. They are loaded by `start`, and again
    whenever they change.

    `proxy_protocol_from` are the IP addresses and networks of trusted proxies. A connection from
    them must begin with a header of the PROXY protocol, version 1 or 2, which gives the client's
    address. On a Unix socket, every connection must unless this is None.

    `usage` limits what one session, one user and one address can do, such as
    `UsageLimits(messages_per_user=Rate(50, 10.0))`. None turns these limits off.

    `address_header` is the header in which trusted proxies send the client's address.

    Raises `UsageError` if an argument is wrong, contradicts another argument, or needs an extra
    that is not installed.
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
        _check_functions(reply=reply, handler=handler)
        try:
            for path in paths:
                check_method_path(path)
        except ValueError as error:
            raise UsageError(str(error)) from None
        chat_paths = [*CHAT_PATHS, *paths]
        self._proxies = _networks(proxy_protocol_from)
        self._tls_options = tls
        self._tls: ServerTLS | None = None
        self._limits = limits
        self._monitor = LoadMonitor(log_stalls)
        self._needs_monitor = not (rooms is None and metrics is None and log_stalls is None)
        self._observability = Observability(
            chat_paths,
            access_log=access_log,
            metrics=metrics,
            tracing=TracingOptions() if tracing is True else tracing or None,
        )
        self._observers = self._observability.observers(observers)
        self._access = None if auth is None else AccessControl(auth)
        self._usage = UsageControl(usage, chat_paths)
        chain: list[Interceptor | None] = [address_header, self._access, self._usage, *interceptors]
        chain.append(self._observability.interceptor)
        self._interceptors = [each for each in chain if each is not None]
        self._listeners: list[Listener] = []
        self._parts = Parts()
        self.health = HealthService()
        """The health service; `set_status` reports that a service does not serve."""
        self._node = None if rooms is None else self._observability.make_node(rooms, self._monitor)
        if handler is None:
            reply = reply_template(DEFAULT_TEMPLATE) if reply is None else reply
            handler = self._observability.reply_handler(reply)
        self._table = ServiceTable(reflection, descriptor_sets)
        self._rooms_table = ServiceTable(reflection, descriptor_sets)
        """The services of the port of its own that `RoomOptions.service_port` asks for."""
        self._table.add(ChatService(handler, self._node, chat_paths), CHAT_SERVICE)
        self.add_service(self.health)
        if rooms is not None and rooms.service:
            if rooms.service_port is None:
                self.add_service(RoomsService(self.rooms))
            else:
                self._rooms_table.add(RoomsService(self.rooms))
                self._rooms_table.add(self.health)
        for service in services:
            self.add_service(service)

    def add_service(self, service: Service) -> None:
        """Serve a grpclib or betterproto2 service beside Chat.

        Raises `UsageError` after `start`, for an object that is not a service, and for a service
        with a method that is served already.
        """
        if self._listeners:
            raise UsageError("the server was started; add services before start()")
        self._table.add(service)

    async def start(
        self,
        host: str | None = "0.0.0.0",  # noqa: S104 - the default of the original service
        port: int = 9000,
        *,
        ssl: ssl_module.SSLContext | None = None,
        **options: Any,
    ) -> None:
        """Open everything the server needs, and accept connections on `host` and `port`.

        `host` None stands for all interfaces, `port` 0 for a free port. `ssl` is for TLS without
        `tls`. The other options are those of `grpclib.server.Server.start`: with `sock` or `path`
        the server listens there instead, and `reuse_port` applies to all its ports.

        Raises `ListenError` if an address cannot be listened on, `BrokerError` if the broker of
        the rooms cannot be opened, `ConfigError` if the certificate cannot be used, and
        `UsageError` if the server was started before. After an error, and when cancelled,
        everything that was opened is closed again, and `start` may be called again.
        """
        if self._listeners:
            raise UsageError("the server was already started; make a new ChatServer")
        if ssl is not None and self._tls_options is not None:
            raise UsageError("pass ssl= or tls=, not both")
        if options.get("sock") is None and options.get("path") is None:
            options |= {"host": host, "port": port}
        tls = None if self._tls_options is None else ServerTLS(self._tls_options)
        context = ssl if tls is None else tls.context
        reuse_port = bool(options.get("reuse_port"))
        listeners = [
            self._make_listener(self._table, ssl=context, proxies=self._proxies, **options)
        ]
        if self._node is not None and self._rooms_table.names:
            rooms = self._node.options
            own = {"host": rooms.service_host, "port": rooms.service_port, "reuse_port": reuse_port}
            listeners.append(self._make_listener(self._rooms_table, ssl=context, **own))
        await self._parts.start(self._make_parts(listeners, tls, reuse_port))
        self._listeners, self._tls = listeners, tls
        if self._node is not None and self.addresses:
            self._node.address = str(Address(*self.addresses[0]))

    def _make_listener(self, table: ServiceTable, **address: Any) -> Listener:
        if self._observability.metrics is not None:
            self._observability.metrics.calls.add_methods(table.__mapping__())
        return Listener(
            table,
            interceptors=self._interceptors,
            observers=self._observers,
            limits=self._limits,
            pages=health_pages(self.health),
            **address,
        )

    def _make_parts(
        self, listeners: Sequence[Listener], tls: ServerTLS | None, reuse_port: bool
    ) -> list[Part]:
        """Return the parts in the order in which they start; they close in reverse order."""
        parts: list[Part] = []
        if self._needs_monitor:
            parts.append(Part(self._monitor.start, self._monitor.stop))
        if tls is not None:
            parts.append(Part(tls.start_watching, tls.stop_watching))
        if (metrics := self._observability.metrics) is not None:
            start = partial(
                metrics.start,
                servers=[listener.server for listener in listeners],
                node=self._node,
                usage=self._usage,
                tls=tls,
                health=self.health,
                monitor=self._monitor,
                reuse_port=reuse_port,
            )
            parts.append(Part(start, metrics.close))
        if self._node is not None:
            broker = BrokerHealth(self._node, self._monitor, self.health)
            parts.append(Part(self._node.open, self._node.close))
            parts.append(Part(broker.start, broker.close))
        parts += [Part(listener.start, listener.close) for listener in reversed(listeners)]
        parts.append(health_part(self.health, self._table.names + self._rooms_table.names))
        return parts

    async def drain(self, grace: float = 10.0) -> None:
        """Close the server within `grace` seconds, and let open calls end by themselves.

        The server stops listening, reports NOT_SERVING, and asks clients to make new calls
        elsewhere. Sessions of rooms end within half of `grace`, and tell their clients to resume.
        Calls that are still open shortly before the end of `grace` are ended as `close` ends them.
        Then the rest of the server is closed, as `close` closes it.

        Returns when everything is closed. `close`, or `drain` with less grace, may be called
        meanwhile and ends the wait. Cancelling the call leaves a server that takes no new calls:
        call `close` then. Does nothing if the server was not started. Raises `UsageError` if
        `grace` is not a number of seconds.
        """
        if not grace >= 0:
            raise UsageError(f"grace must be a number of seconds, at least 0, not {grace!r}")
        if self._listeners:
            self.health.shut_down()
            if self._node is not None:
                self._node.drain(grace)
            drains = (listener.drain(grace) for listener in self._listeners)
            results = await asyncio.gather(*drains, return_exceptions=True)
            await self._parts.close()
            for error in filter(None, results):
                raise error

    async def close(self) -> None:
        """Close the server now: calls that are open end with UNAVAILABLE.

        Waits at most a few seconds: for the handlers of these calls to end, for what follows the
        end of sessions, such as a leave hook, and for the broker to close. May be called again.
        Does nothing if the server was not started.

        If a part of the server fails to close, the other parts are closed and its exception is
        raised. Cancelling the call ends these waits, and closes the rest all the same.
        """
        await self._parts.close()

    async def wait_closed(self) -> None:
        """Wait until `close` or `drain` has ended all calls. Cancelling only ends the wait.

        Raises `UsageError` if the server was not started.
        """
        await self._started().wait_closed()

    async def __aenter__(self) -> ChatServer:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    @property
    def limits(self) -> Limits:
        """The limits on one client; new limits apply to connections that are made afterwards."""
        return self._limits or Limits()

    @limits.setter
    def limits(self, limits: Limits) -> None:
        self._limits = limits
        for listener in self._listeners:
            listener.server.limits = limits

    def reload_tls(self, options: TLSOptions | None = None) -> bool:
        """Load the certificate again, or the files of `options`; return whether it has changed.

        The files are checked for changes every few seconds without this. Open connections keep
        the certificate that they began with. Raises `ConfigError` if the files cannot be used;
        the certificate in use stays. Raises `UsageError` if the server has no TLS or was not
        started.
        """
        if self._tls is None:
            raise UsageError("the server has no TLS; pass tls= to ChatServer and start it first")
        return self._tls.reload(options)

    @property
    def auth(self) -> Authenticator | None:
        """The authenticator; a new authenticator applies to calls that are made afterwards.

        Raises `UsageError` when set to None, or from None to an authenticator: authentication is
        turned on and off by a restart.
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
        """The rooms, to be used after `start`. Raises `UsageError` if rooms are turned off."""
        if self._node is None:
            raise UsageError("this server has no rooms: it was made with rooms=None")
        return Rooms(self._node)

    @property
    def rooms_port(self) -> int:
        """The port of the Rooms service: its own port if it has one, else `port`."""
        self._started()
        return self._listeners[-1].server.port

    @property
    def metrics_port(self) -> int:
        """The port of the metrics. Raises `UsageError` if there is none."""
        if self._observability.metrics is None:
            raise UsageError("this server has no metrics: it was made without metrics=")
        return self._observability.metrics.port

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Host and port of every TCP socket on which Chat is served."""
        return self._started().addresses

    @property
    def port(self) -> int:
        """The port on which Chat is served."""
        return self._started().port

    def statistics(self) -> ServerStatistics:
        """Return what the server has done since `start`, on open and closed connections."""
        return self._started().statistics()

    def connection_statistics(self) -> list[ConnectionStatistics]:
        """Return the statistics of each open connection, in the order in which they were made."""
        return self._started().connection_statistics()

    @property
    def usage(self) -> UsageLimits | None:
        """The limits of use; new limits apply at once, also to open sessions.

        Messages are not counted in sessions that were opened while no limit on messages or bytes
        applied to them.
        """
        return self._usage.limits

    @usage.setter
    def usage(self, limits: UsageLimits | None) -> None:
        self._usage.limits = limits

    def usage_statistics(self) -> UsageStatistics:
        """Return how often each limit of use rejected a call, and how many accounts are kept.

        Connections that were rejected are in `statistics().connections_refused_by`.
        """
        return self._usage.statistics()

    @property
    def open_calls(self) -> int:
        """The number of open calls, of all services on the port of Chat."""
        return self._listeners[0].server.open_calls if self._listeners else 0

    def _started(self) -> Server:
        """Return the server that serves Chat."""
        if not self._listeners:
            raise UsageError("the server was not started: await start() first")
        return self._listeners[0].server


def _check_functions(**functions: object) -> None:
    """Raise `UsageError` unless at most one argument is given, and it is a function."""
    if None not in functions.values():
        raise UsageError(f"pass {' or '.join(f'{name}=' for name in functions)}, not both")
    for name, function in functions.items():
        if function is not None and not callable(function):
            raise UsageError(f"{name}= must be a function, not {function!r}")


def _networks(texts: Collection[str] | None) -> list[IPv4Network | IPv6Network] | None:
    try:
        return None if texts is None else [ip_network(text) for text in texts]
    except ValueError as error:
        raise UsageError(f"proxy_protocol_from: {error}") from None
