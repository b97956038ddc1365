"""Every name of grpclib and h2 that is not their documented API and that wire uses.

Private attributes that the subclasses of this package touch, beside the names imported below:

- `server.Server`: `_server`, `_loop`, `_mapping`, `_codec`, `_status_details_codec`, `_config`,
  `_h2_config`
- `server.Stream`: `_stream`, `_messages_received`, `_send_initial_metadata_done`,
  `_send_trailing_metadata_done`, `_content_type`
- `client.Channel`: `_protocol`, `_config`, `_h2_config`, `_host`, `_port`, `_path`, `_codec`,
  `_status_details_codec`, `_create_connection`, `_protocol_factory`
- `client.Stream`: `_stream`, `_wrapper`, `_channel`, `_codec`, `_dispatch`, `_cancel_done`,
  `_end_done`, `_send_request_done`, `_recv_initial_metadata_done`,
  `_recv_trailing_metadata_done`, `_trailers_only`, `_release_stream`, `_wrapper_ctx`,
  `_process_grpc_status`, `_raise_for_grpc_status`, `_raise_for_status`,
  `_raise_for_content_type`
- `protocol.Connection`: `_connection`, `_transport`
- `protocol.Stream`: `_transport`, `_h2_connection`

tests/wire/test_grpclib_internals.py fails by name when a release takes one of them away; the
version bounds in pyproject.toml follow from this list.
"""

from __future__ import annotations

from grpclib.client import Handler as ClientHandler
from grpclib.config import Configuration
from grpclib.const import Handler as MethodHandler
from grpclib.encoding.base import (
    GRPC_CONTENT_TYPE,
    CodecBase,
    StatusDetailsCodecBase,
)
from grpclib.events import _DispatchServerEvents as DispatchServerEvents
from grpclib.metadata import _SPECIAL as SPECIAL_HEADERS
from grpclib.metadata import _Metadata as Metadata
from grpclib.metadata import _MetadataLike as MetadataLike
from grpclib.metadata import encode_grpc_message
from grpclib.protocol import AbstractHandler, Connection, EventsProcessor, H2Protocol
from grpclib.protocol import Stream as H2Stream
from grpclib.protocol import _Headers as Headers
from grpclib.protocol import _set_nodelay as set_nodelay
from grpclib.utils import DeadlineWrapper, Wrapper

__all__ = [
    "GRPC_CONTENT_TYPE",
    "SPECIAL_HEADERS",
    "AbstractHandler",
    "ClientHandler",
    "CodecBase",
    "Configuration",
    "Connection",
    "DeadlineWrapper",
    "DispatchServerEvents",
    "EventsProcessor",
    "H2Protocol",
    "H2Stream",
    "Headers",
    "Metadata",
    "MetadataLike",
    "MethodHandler",
    "StatusDetailsCodecBase",
    "Wrapper",
    "encode_grpc_message",
    "set_nodelay",
]
