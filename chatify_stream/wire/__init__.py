"""gRPC over HTTP/2: a server and a channel for any service, based on grpclib and h2.

`Server` and `Channel` are subclasses of grpclib's with the same API. The classes below them are
our own. This package does not depend on chat, and no other package uses grpclib's server, client
and protocol, or h2.
"""

from grpclib.const import Cardinality, Status
from grpclib.const import Handler as MethodHandler
from grpclib.exceptions import StreamTerminatedError
from grpclib.metadata import Deadline

from ..address import address_block
from ..limits import CHANNEL_LIMITS, MAX_MESSAGE_SIZE, Limits, Rate
from .client.backoff import Backoff
from .client.balancer import Balancing
from .client.channel import CONNECT_TIMEOUT, Channel
from .client.state import ChannelState
from .client.stream import ClientStream
from .connection.compression import check_encoding, frame, frame_prefix
from .connection.inbox import Meter
from .connection.statistics import ConnectionStatistics, ServerStatistics, StreamStatistics
from .grpclib_internals import MetadataLike
from .protobuf.codec import ProtoCodec, StatusDetailsCodec
from .protobuf.decoder import decode_message
from .protobuf.wire_format import varint_bytes
from .server.calls import Page
from .server.observers import CallEnd, ServerObserver
from .server.server import Server
from .server.stream import ServerStream
from .tls.contexts import ClientTLS, client_tls
from .token_bucket import TokenBucket

__all__ = [
    "CHANNEL_LIMITS",
    "CONNECT_TIMEOUT",
    "MAX_MESSAGE_SIZE",
    "Backoff",
    "Balancing",
    "CallEnd",
    "Cardinality",
    "Channel",
    "ChannelState",
    "ClientStream",
    "ClientTLS",
    "ConnectionStatistics",
    "Deadline",
    "Limits",
    "MetadataLike",
    "Meter",
    "MethodHandler",
    "Page",
    "ProtoCodec",
    "Rate",
    "Server",
    "ServerObserver",
    "ServerStatistics",
    "ServerStream",
    "Status",
    "StatusDetailsCodec",
    "StreamStatistics",
    "StreamTerminatedError",
    "TokenBucket",
    "address_block",
    "check_encoding",
    "client_tls",
    "decode_message",
    "frame",
    "frame_prefix",
    "varint_bytes",
]
