"""The gRPC client's side: grpclib's channel, with errors that say what happened.

Calls that wait for a connection share one attempt to make it; in grpclib each made its own, one
after the other. A GOAWAY means a new connection for new calls, while those that are open go on;
in grpclib it ended them. A closed channel stays closed; in grpclib one that was closed while it
connected left the connection behind. And a channel may have several servers, which grpclib's
could not.
"""

from __future__ import annotations

import random
import ssl as ssl_module
import time
import warnings
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self, cast

import grpclib.client
from grpclib.const import Cardinality
from grpclib.metadata import Deadline
from multidict import MultiDict

from ...address import Address, parse_address, parse_target
from ...errors import ClosedError, UsageError
from ..connection.compression import IDENTITY, check_encoding
from ..connection.connection import CHANNEL_CONFIG
from ..grpclib_internals import (
    CodecBase,
    Configuration,
    Metadata,
    MetadataLike,
    StatusDetailsCodecBase,
)
from ..limits import CHANNEL_LIMITS, Limits
from ..protobuf.codec import ProtoCodec, StatusDetailsCodec
from ..tls.client_context import ClientTLS
from .backoff import Attempts, Backoff
from .balancer import BALANCERS, Balancing
from .dialer import Dialer
from .pool import Pool
from .protocol import ClientProtocol
from .resolver import ResolvedTarget
from .state import ChannelState
from .stream import ClientStream

__all__ = ["CONNECT_TIMEOUT", "Channel"]

CONNECT_TIMEOUT = 10.0
"""Seconds that reaching a server may take."""


class Channel(grpclib.client.Channel):
    """Connections to one or more servers, made when a call needs them, and made anew after a loss.

    grpclib's API, and beside it:

    - `target`: several servers, or a name for them, in place of `host` and `port`;
    - `balancing`: `"pick_first"` gives all calls to the first address that works, `"round_robin"`
      to each address in turn;
    - `state` and `wait_for_state_change`: whether there is a connection;
    - `connect`: has it made before the first call.

    A host's name stands for all addresses that the DNS has for it; it is looked up anew whenever
    a connection is to be made. While there is no connection, a call waits for the attempt to make
    one, and fails when no address could be reached. Those that failed are left alone for the time
    that `backoff` says, and calls fail at once; an address that refused the connection is tried
    again by the next call, because nobody is there to be burdened. When the attempt before took
    long to fail, a new one is made without the call, which fails at once with the old reason.
    Calls that wait for ready do not fail, but wait, until there is a connection or their deadline
    has passed.

    Calls that are more than the server takes at once wait for the end of others.
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
        """`target`: `HOST:PORT`, `dns:///HOST:PORT`, or several of these.

        Several stand in a list, or in one text with commas between them; the port of a HOST alone
        is 9000. `connect_timeout`: seconds that an attempt to reach an address may take, until
        the server has greeted. Raises `UsageError` for what is no address, or contradicts itself.

        `ssl`: what `client_tls` makes; True believes the authorities of the system.

        `limits`: what a server may cost, such as the size of its messages.

        `compression`: how requests are compressed, "gzip", "deflate" or, for not at all,
        "identity". A server that does not read it answers UNIMPLEMENTED. Replies are read in each
        of them.
        """
        ways = (target is not None, path is not None, host is not None or port is not None)
        if sum(ways) > 1:
            raise UsageError("a channel has a target, or a host and a port, or a path")
        if balancing not in BALANCERS:
            known = " or ".join(map(repr, BALANCERS))
            raise UsageError(f"balancing is {known}, not {balancing!r}")
        addresses = _addresses(host, port, target) if path is None else ()
        super().__init__(
            addresses[0].host if addresses else None,
            addresses[0].port if addresses else None,
            path=path,
            codec=codec or ProtoCodec(),
            status_details_codec=status_details_codec or StatusDetailsCodec(),
            ssl=ssl.context if isinstance(ssl, ClientTLS) else ssl,
            config=config or CHANNEL_CONFIG,
        )
        self._compression = check_encoding(compression)

        def new_attempts() -> Attempts:
            return Attempts(backoff or Backoff(), time.monotonic, random.random)

        if path is None:
            names = [ResolvedTarget.of_address(address, new_attempts()) for address in addresses]
        else:
            names = [ResolvedTarget.of_socket(path, self._authority, new_attempts())]
        self._target = ",".join(map(str, names))
        dialer = Dialer(
            self._config,
            timeout=connect_timeout,
            limits=limits,
            ssl_context=self._ssl,
            server_name=ssl.server_name if isinstance(ssl, ClientTLS) else None,
        )
        self._pool = Pool(names, BALANCERS[balancing](), dialer, new_attempts)

    def __repr__(self) -> str:
        return f"Channel({self._target!r})"

    @property
    def target(self) -> str:
        """Where the servers are, for people."""
        return self._target

    @property
    def state(self) -> ChannelState:
        """Whether there is a connection."""
        return self._pool.state

    async def wait_for_state_change(self, last: ChannelState) -> ChannelState:
        """Waits until the state is another than `last`; returns the new one.

        A state that does not last may be missed; SHUTDOWN is the last. Attempts to connect are
        made for calls and for `connect` alone, so without these an idle channel stays as it is.
        """
        if last is ChannelState.SHUTDOWN:
            raise ClosedError("a channel that is closed stays so")
        return await self._pool.state_changed(last)

    @property
    def is_closed(self) -> bool:
        return self._pool.is_closed

    async def connect(self, *, wait_for_ready: bool = False) -> None:
        """Waits for a connection, as a call does; it returns at once while there is one.

        Raises the `CallError` that a call would get; `UnavailableError` when no address can be
        reached, unless it is to `wait_for_ready`.
        """
        await self._pool.ready(wait_for_ready=wait_for_ready)

    async def __connect__(self, *, wait_for_ready: bool = False) -> ClientProtocol:
        return await self._pool.connection(wait_for_ready=wait_for_ready)

    @property
    def _connected(self) -> bool:
        return self.state is ChannelState.READY

    @property
    def failure_message(self) -> str | None:
        """Why no server could be reached, until one can be; None when nothing has failed."""
        return self._pool.failure_message

    def close(self) -> None:
        """Closes the connections, and gives up attempts; calls end with `ClosedError`."""
        self._pool.close()

    async def wait_closed(self) -> None:
        """Waits until nothing is left of the connections, a second at the most."""
        await self._pool.wait_closed()

    def __del__(self) -> None:
        pool = getattr(self, "_pool", None)  # not there when the arguments were wrong
        if pool is not None and not pool.is_closed and pool.connections:
            warnings.warn(f"{self!r} was not closed", ResourceWarning, source=self, stacklevel=2)
            if not self._loop.is_closed():
                self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        self.close()
        await self.wait_closed()

    def request(
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
        """A call that is sent when it is entered and its first method awaited.

        `timeout`: seconds until it has to have ended, connecting included. `compression`: as for
        the channel, whose own counts for a call that has none. `wait_for_ready`: while no server
        can be reached it waits, where it would fail.
        """
        if timeout is not None:
            limit = Deadline.from_timeout(timeout)
            deadline = limit if deadline is None else min(limit, deadline)
        call = ClientStream(
            self,
            name,
            cast(Metadata, MultiDict(metadata or ())),
            cardinality,
            request_type,
            reply_type,
            codec=self._codec,
            status_details_codec=self._status_details_codec,
            dispatch=self.__dispatch__,
            deadline=deadline,
            compression=self._compression if compression is None else check_encoding(compression),
        )
        call.wait_for_ready = wait_for_ready
        return call


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
