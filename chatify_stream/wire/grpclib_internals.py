"""The names of grpclib and h2 that wire uses and that are not their documented API.

Attributes that this package uses, beside the names imported below:

- `client.Channel`: `_authority`, `_calls_failed`, `_calls_started`, `_calls_succeeded`,
  `_connected`, `_last_call_started`, `_loop`, `_scheme`, `_ssl`
- `server.Server`: `_protocol_factory`, `_server`
- `config.Configuration`: `_keepalive_permit_without_calls`, `_keepalive_time`,
  `_keepalive_timeout`
- `events._Dispatch`: `_listeners`
- `h2.connection.H2Connection`: `_begin_new_stream`, `_frame_dispatch_table`,
  `_handle_data_on_closed_stream`, `_inbound_flow_control_window_manager`,
  `_receive_headers_frame`, `_receive_settings_frame`, `_stream_closed_by`, `MAX_CLOSED_STREAMS`
- `h2.settings.Settings`: `_settings`
- `h2.stream.H2Stream`: `_expected_content_length`, `_inbound_window_manager`
- `h2.stream.H2StreamStateMachine`: `client`, `headers_received`, `headers_sent`, `state`,
  `stream_closed_by`, `trailers_sent`

tests/wire/test_grpclib_internals.py fails by name when a release removes one of them. The version
bounds in pyproject.toml follow from this list.
"""

from collections.abc import Collection, Mapping

from grpclib.config import Configuration
from grpclib.const import Handler as MethodHandler
from grpclib.encoding.base import GRPC_CONTENT_TYPE, CodecBase, StatusDetailsCodecBase
from grpclib.metadata import (
    USER_AGENT,
    decode_grpc_message,
    decode_metadata,
    encode_grpc_message,
    encode_metadata,
)
from h2.connection import AllowedStreamIDs
from h2.connection import _decode_headers as decode_headers
from multidict import MultiDict

__all__ = [
    "GRPC_CONTENT_TYPE",
    "SPECIAL_HEADERS",
    "USER_AGENT",
    "AllowedStreamIDs",
    "CodecBase",
    "Configuration",
    "Headers",
    "Metadata",
    "MetadataLike",
    "MethodHandler",
    "StatusDetailsCodecBase",
    "decode_grpc_message",
    "decode_headers",
    "decode_metadata",
    "encode_grpc_message",
    "encode_metadata",
]

Headers = list[tuple[str, str]]

Metadata = MultiDict[str | bytes]
"""Text by key, or bytes under keys that end in `-bin`. A key may have several values."""

MetadataLike = Mapping[str, str | bytes] | Collection[tuple[str, str | bytes]]

SPECIAL_HEADERS = frozenset({"te", "content-type", "user-agent"})
"""Headers that are not metadata, beside those that begin with `:` or `grpc-`."""
