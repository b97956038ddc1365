"""h2's connection, with bounds on the memory that a peer can make it use.

h2 4.4 differs from what a server needs: it ends the connection when a peer opens one stream too
many, and when an interim response arrives on a stream that was just reset. It stores every setting
that a peer invents (65,536 of them take 50 MB), and lets the peer choose the size of the table of
sent headers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from grpclib.config import Configuration
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import StreamClosedError
from h2.settings import SettingCodes, Settings
from h2.stream import StreamClosedBy

from ..grpclib_internals import decode_headers
from ..limits import Limits
from .hpack import CachingDecoder, CachingEncoder

__all__ = ["MAX_HEADER_TABLE", "LazyMethodTable", "WireH2", "h2_config", "h2_connection"]

KNOWN_SETTINGS = frozenset(SettingCodes)
MAX_HEADER_TABLE = 4096
"""Bytes of sent headers that HPACK may refer to later; HTTP/2's default."""


def h2_config(*, client_side: bool) -> H2Configuration:
    """Return grpclib's configuration, with latin-1 headers so that no byte is undecodable.

    `header_rules` validates the headers.
    """
    return H2Configuration(
        client_side=client_side,
        header_encoding="latin-1",
        validate_inbound_headers=False,
        validate_outbound_headers=False,
        normalize_inbound_headers=False,
        normalize_outbound_headers=False,
    )


class LazyMethodTable:
    """A read-only dict of an object's methods that binds a method when it is looked up.

    h2 builds a dict of bound methods for each connection, which takes 2 kB.
    """

    __slots__ = ("_names", "_owner")

    _known: dict[type, dict[Any, str]] = {}  # noqa: RUF012 - the names by the class of the owner

    def __init__(self, owner: object, table: Mapping[Any, Callable[..., Any]]) -> None:
        """`table` must be the same for all owners of one class."""
        if type(owner) not in self._known:
            self._known[type(owner)] = {key: method.__name__ for key, method in table.items()}
        self._owner = owner
        self._names = self._known[type(owner)]

    def __getitem__(self, key: Any) -> Callable[..., Any]:
        method: Callable[..., Any] = getattr(self._owner, self._names[key])
        return method

    def __contains__(self, key: Any) -> bool:
        return key in self._names


class WireH2(H2Connection):
    """h2's connection, bounded. `EventHandler` limits the number of streams instead of h2."""

    MAX_CLOSED_STREAMS = 4096
    """Closed streams whose end h2 remembers. h2's default takes 10 MB."""

    encoder: CachingEncoder
    decoder: CachingDecoder

    def __init__(self, config: H2Configuration) -> None:
        super().__init__(config=config)
        self._frame_dispatch_table: Any = LazyMethodTable(self, self._frame_dispatch_table)

    @property
    def open_inbound_streams(self) -> int:
        """Return 0, so that h2 neither counts the streams for each new one nor limits them."""
        return 0

    def break_cycle(self) -> None:
        """Drop the table that refers back to this object. No frame may be received after that."""
        self._frame_dispatch_table = None

    def _receive_headers_frame(self, frame: Any) -> Any:
        if self._stream_closed_by(frame.stream_id) is StreamClosedBy.SEND_RST_STREAM:
            # h2 has no rule for a 1xx response that crosses the reset of its stream.
            decode_headers(self.decoder, frame.data)  # which may change the table
            raise StreamClosedError(frame.stream_id)
        try:
            return super()._receive_headers_frame(frame)
        except StreamClosedError as error:
            # h2 keeps the error in a local variable: the frames of the traceback, and all data
            # that was received in them, would wait for the garbage collector.
            raise error.with_traceback(None)  # noqa: B904

    def _handle_data_on_closed_stream(self, events: Any, exc: StreamClosedError, frame: Any) -> Any:
        return super()._handle_data_on_closed_stream(events, exc.with_traceback(None), frame)

    def _receive_settings_frame(self, frame: Any) -> Any:
        settings = {code: n for code, n in frame.settings.items() if code in KNOWN_SETTINGS}
        size = settings.get(SettingCodes.HEADER_TABLE_SIZE)
        if size is not None:  # the peer gives a maximum, and a smaller table is allowed
            settings[SettingCodes.HEADER_TABLE_SIZE] = min(size, MAX_HEADER_TABLE)
        frame.settings = settings
        return super()._receive_settings_frame(frame)


class _Settings(Settings):
    """h2's settings in a tenth of the memory: h2 has a deque of 760 bytes for each setting."""

    def __init__(self, client: bool, initial_values: dict[SettingCodes, int] | None = None) -> None:
        super().__init__(client, initial_values)
        self._settings: Any = {key: _Values(each) for key, each in self._settings.items()}

    def __setitem__(self, key: SettingCodes | int, value: int) -> None:
        self._settings.setdefault(key, _Values([None]))
        super().__setitem__(key, value)


class _Values(list[int | None]):
    def popleft(self) -> int | None:
        return self.pop(0)


def h2_connection(h2_config: H2Configuration, config: Configuration, limits: Limits) -> WireH2:
    """Return a connection with its SETTINGS and its larger window ready to be sent."""
    h2 = WireH2(config=h2_config)
    h2.local_settings = _Settings(
        client=bool(h2_config.client_side),
        initial_values={
            SettingCodes.ENABLE_PUSH: 0,
            SettingCodes.MAX_CONCURRENT_STREAMS: limits.max_concurrent_streams,
            SettingCodes.MAX_HEADER_LIST_SIZE: limits.max_header_list_size,
            SettingCodes.INITIAL_WINDOW_SIZE: config.http2_stream_window_size,
        },
    )
    h2.decoder = CachingDecoder(limits.max_header_block_size)
    h2.encoder = CachingEncoder()
    h2.remote_settings = _Settings(client=not h2_config.client_side)
    h2.initiate_connection()
    increment = config.http2_connection_window_size - h2.inbound_flow_control_window
    if increment > 0:
        h2.increment_flow_control_window(increment)
    return h2
