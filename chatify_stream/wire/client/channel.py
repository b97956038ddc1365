"""The gRPC channel: grpclib's, with several servers and errors that explain.

grpclib 0.4.9 had these faults: each waiting call made its own connection, one after the other. A
GOAWAY ended the open calls. A channel that was closed while it connected left the connection open.
"""

from __future__ import annotations

import random
import ssl as ssl_module
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self

import grpclib.client
from grpclib.const import Cardinality
from grpclib.metadata import Deadline
from multidict import MultiDict

from ...address import Address, parse_address, parse_target
from ...errors import ClosedError, UsageError
from ...limits import CHANNEL_LIMITS, Limits
from ..connection.compression import IDENTITY, check_encoding
from ..connection.connection import CHANNEL_CONFIG
from ..grpclib_internals import CodecBase, Configuration, MetadataLike, StatusDetailsCodecBase
from ..protobuf.codec import ProtoCodec, StatusDetailsCodec
from ..tls.contexts import ClientTLS
from .backoff import Attempts, Backoff
from .balancer import BALANCERS, Balancing
from .dialer import Dialer
from .pool import Pool
from .protocol import ClientProtocol
from .resolver import ResolvedTarget
from .state import ChannelState
from .stream import ClientStream

CONNECT_TIMEOUT = 10.0
"""Seconds for an attempt to connect."""


class Channel(grpclib.client.Channel):
    """Connections to one or more servers, made when a call needs them and again after a loss.

    It has the API of `grpclib.client.Channel`, and in addition:

    - `target`: several servers, or a DNS name for them, in place of `host` and `port`
    - `balancing`: `"pick_first"` sends all calls to the first address that works,
      `"round_robin"` to each address in turn
    - `state` and `wait_for_state_change`: whether there is a connection
    - `connect`: connect before the first call

    A host name stands for all of its addresses in the DNS, and is resolved again for each new
    connection. Without a connection, a call waits for the attempt to make one, and fails when no
    address could be reached. After a failure the addresses are not tried again for the time of
    `backoff`, and calls fail at once. An address that refused the connection is tried again by the
    next call, because that burdens no server. If an attempt took long to fail, the next call
    starts a new attempt and fails at once with the old reason. Calls that wait for ready do not
    fail: they wait for a connection until their deadline.

    Calls above the server's limit of concurrent calls wait until others end.
    """

    def __init__(
        self,
        host: str | None = None,
        port: int | None = None,
        *,
        target: str | Sequence[str] | None = None,
        balancing: Balancing = "pick_first",
        backoff: Backoff | None = None,
        connect_timeout: float = CONNECT_TIMEOUT,
        limits: Limits = CHANNEL_LIMITS,
        compression: str = IDENTITY,
        path: str | None = None,
        codec: CodecBase | None = None,
        status_details_codec: StatusDetailsCodecBase | None = None,
        ssl: bool | ClientTLS | ssl_module.SSLContext | ssl_module.DefaultVerifyPaths | None = None,
        config: Configuration | None = None,
    ) -> None:
        """`target`: `HOST:PORT`, `dns:///HOST:PORT`, a list of these, or a text with commas.

        The default port of a target is 9000. `connect_timeout`: seconds for an attempt to connect
        to one address, until the server's SETTINGS arrive.

        `ssl`: the result of `client_tls`, or True to trust the CAs of the system.

        `limits`: the bounds for a server, such as the maximum size of its messages.

        `compression`: the compression of requests, "gzip", "deflate" or "identity" for none. A
        server that does not support it answers UNIMPLEMENTED. Replies in each of them are accepted.

        Raise `UsageError` for an invalid address and for arguments that exclude each other.
        """
        ways = (target is not None, path is not None, host is not None or port is not None)
        if sum(ways) > 1:
            raise UsageError("a channel has a target, or a host and a port, or a path")
        if balancing not in BALANCERS:
            known = " or ".join(map(repr, BALANCERS))
            raise UsageError(f"balancing is {known}, not {balancing!r}")
        addresses = _addresses(host, port, target) if path is None else ()
        codec, config = codec or ProtoCodec(), config or CHANNEL_CONFIG
        first = (addresses[0].host, addresses[0].port) if addresses else (None, None)
        tls, name = (ssl.context, ssl.server_name) if isinstance(ssl, ClientTLS) else (ssl, None)
        super().__init__(*first, path=path, codec=codec, ssl=tls, config=config)
        config = config.__for_client__()
        if config._keepalive_time is not None:
            time_, timeout = config._keepalive_time, config._keepalive_timeout
            limits = replace(limits, keepalive_time=time_, keepalive_timeout=timeout)
        self._message_codec = codec
        self._details_codec = status_details_codec or StatusDetailsCodec()
        self._compression = check_encoding(compression)

        def new_attempts() -> Attempts:
            return Attempts(backoff or Backoff(), time.monotonic, random.random)

        if path is None:
            names = [ResolvedTarget.of_address(address, new_attempts()) for address in addresses]
        else:
            names = [ResolvedTarget.of_socket(path, self._authority, new_attempts())]
        self._target = ",".join(map(str, names))
        dialer = Dialer(
            config, timeout=connect_timeout, limits=limits, ssl_context=self._ssl, server_name=name
        )
        self._pool = Pool(names, BALANCERS[balancing](), dialer, new_attempts)

    def __repr__(self) -> str:
        return f"Channel({self._target!r})"

    @property
    def target(self) -> str:
        """The addresses of the servers, as text."""
        return self._target

    @property
    def state(self) -> ChannelState:
        """Whether there is a connection."""
        return self._pool.state

    async def wait_for_state_change(self, last: ChannelState) -> ChannelState:
        """Wait until the state differs from `last`, and return the new state.

        A short state may be missed. SHUTDOWN is the last state. Only calls and `connect` start
        attempts to connect, so an idle channel stays idle.
        """
        if last is ChannelState.SHUTDOWN:
            raise ClosedError("the channel is closed and cannot change its state; open a new one")
        return await self._pool.state_changed(last)

    @property
    def scheme(self) -> str:
        return self._scheme

    def avoid_connection(self, connection: ClientProtocol) -> None:
        """Send later calls over another connection."""
        self._pool.avoid(connection)

    def call_started(self) -> None:
        self._calls_started += 1
        self._last_call_started = time.monotonic()

    def call_ended(self, *, succeeded: bool) -> None:
        if succeeded:
            self._calls_succeeded += 1
        else:
            self._calls_failed += 1

    @property
    def is_closed(self) -> bool:
        return self._pool.is_closed

    async def connect(self, *, wait_for_ready: bool = False) -> None:
        """Wait for a connection as a call does. Return at once if there is one.

        Raise the `CallError` of such a call: `UnavailableError` when no address can be reached,
        except with `wait_for_ready`.
        """
        await self._pool.ready(wait_for_ready=wait_for_ready)

    async def __connect__(  # type: ignore[override]
        self, *, wait_for_ready: bool = False
    ) -> ClientProtocol:
        return await self._pool.connection(wait_for_ready=wait_for_ready)

    @property
    def _connected(self) -> bool:
        return self.state is ChannelState.READY

    @property
    def failure_message(self) -> str | None:
        """Why no server could be reached; None with a connection and before a failure."""
        return self._pool.failure_message

    def close(self) -> None:
        """Close the connections and stop attempts. Open calls raise `ClosedError`."""
        self._pool.close()

    async def wait_closed(self) -> None:
        """Wait until the connections are closed, at most a second."""
        await self._pool.wait_closed()

    def __del__(self) -> None:
        pool = getattr(self, "_pool", None)  # not there when the arguments were wrong
        if pool is not None and not pool.is_closed and pool.connections:
            warnings.warn(f"{self!r} was not closed", ResourceWarning, source=self, stacklevel=2)
            if not self._loop.is_closed():
                self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.close()
        await self.wait_closed()

    def request(  # type: ignore[override]
        self,
        name: str,
        cardinality: Cardinality,
        request_type: Any,
        reply_type: Any,
        *,
        timeout: float | None = None,
        deadline: Deadline | None = None,
        metadata: MetadataLike | None = None,
        compression: str | None = None,
        wait_for_ready: bool = False,
    ) -> ClientStream:
        """Return a call to enter with `async with`. Its first method sends the request.

        `timeout`: seconds for the whole call, connecting included. `compression`: in place of the
        channel's. `wait_for_ready`: wait while no server can be reached, instead of failing.
        """
        if timeout is not None:
            limit = Deadline.from_timeout(timeout)
            deadline = limit if deadline is None else min(limit, deadline)
        return ClientStream(
            self,
            name,
            MultiDict(metadata or ()),
            cardinality,
            request_type,
            reply_type,
            self._message_codec,
            self._details_codec,
            self.__dispatch__,
            deadline,
            self._compression if compression is None else check_encoding(compression),
            wait_for_ready,
        )


def _addresses(
    host: str | None, port: int | None, target: str | Sequence[str] | None
) -> tuple[Address, ...]:
    try:
        if target is not None:
            return parse_target(target)
        if not isinstance(host, str | None):
            raise ValueError(f"a host is a str, not {host!r}; several addresses are a target")
        address = Address("127.0.0.1" if host is None else host, 50051 if port is None else port)
        return (parse_address(str(address)),)
    except ValueError as error:
        raise UsageError(str(error)) from None
