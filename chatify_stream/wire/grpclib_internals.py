"""Every name of grpclib and h2 that is not their documented API and that wire uses.

Attributes that this package touches, beside the names imported below: the private ones, and all of
grpclib's `protocol` and `utils`, which are private as a whole.

- `server.Server`: `_codec`, `_config`, `_h2_config`, `_mapping`, `_protocol_factory`, `_server`,
  `_status_details_codec`
- `server.Stream`: `_cardinality`, `_codec`, `_content_type`, `_dispatch`, `_messages_received`,
  `_messages_sent`, `_method_name`, `_recv_type`, `_send_initial_metadata_done`,
  `_send_message_done`, `_send_trailing_metadata_done`, `_send_type`, `_stream`
- `client.Channel`: `_authority`, `_calls_failed`, `_calls_started`, `_calls_succeeded`, `_codec`,
  `_config`, `_connected`, `_last_call_started`, `_loop`, `_scheme`, `_ssl`,
  `_status_details_codec`
- `client.Stream`: `_cancel_done`, `_cardinality`, `_channel`, `_codec`, `_deadline`, `_dispatch`,
  `_end_done`, `_messages_received`, `_messages_sent`, `_metadata`, `_method_name`,
  `_process_grpc_status`, `_raise_for_content_type`, `_raise_for_grpc_status`, `_raise_for_status`,
  `_recv_initial_metadata_done`, `_recv_trailing_metadata_done`, `_recv_type`,
  `_release_stream`, `_send_message_done`, `_send_request_done`, `_send_type`,
  `_stream`, `_trailers_only`, `_wrapper`, `_wrapper_ctx`
- `protocol.AbstractHandler`: `accept`, `cancel`, `close`
- `protocol.Connection`: `_connection`, `_transport`, `ack`, `create_stream`, `flush`, `get_peer`,
  `is_closing`, `stream_close_waiter`, `write_ready`
- `protocol.EventsProcessor`: `close`, `connection`, `handler`, `process`,
  `process_ping_ack_received`, `process_request_received`, `process_response_received`,
  `process_stream_ended`, `process_stream_reset`, `process_trailers_received`, `processors`,
  `register`, `streams`
- `protocol.H2Protocol`: `config`, `connection`, `connection_lost`, `connection_made`,
  `data_received`, `h2_config`, `handler`, `pause_writing`, `processor`, `resume_writing`
- `protocol.Stream`: `_h2_connection`, `_transport`, `buffer`, `closable`, `connection`, `end`,
  `headers`, `headers_received`, `id`, `init_stream`, `recv_headers`, `recv_trailers`,
  `reset_nowait`, `send_data`, `send_headers`, `send_request`, `trailers`, `trailers_received`,
  `window_updated`, `wrapper`
- `utils.DeadlineWrapper`: `cancel`, `start`
- `utils.Wrapper`: `_error`, `cancel`, `cancelled`
- `events._Dispatch`: `_listeners`
- `h2.connection.H2Connection`: `_begin_new_stream`, `_frame_dispatch_table`,
  `_handle_data_on_closed_stream`, `_inbound_flow_control_window_manager`,
  `_receive_headers_frame`, `_receive_settings_frame`, `_stream_closed_by`, `MAX_CLOSED_STREAMS`
- `h2.settings.Settings`: `_settings`
- `h2.stream.H2Stream`: `_expected_content_length`, `_inbound_window_manager`
- `h2.stream.H2StreamStateMachine`: `client`, `headers_received`, `headers_sent`, `state`,
  `stream_closed_by`, `trailers_sent`

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
from grpclib.metadata import USER_AGENT, encode_grpc_message, encode_metadata
from grpclib.metadata import _Metadata as Metadata
from grpclib.metadata import _MetadataLike as MetadataLike
from grpclib.protocol import AbstractHandler, Connection, EventsProcessor, H2Protocol, Peer
from grpclib.protocol import Stream as H2Stream
from grpclib.protocol import _Headers as Headers
from grpclib.protocol import _set_nodelay as set_nodelay
from grpclib.utils import DeadlineWrapper, Wrapper
from h2.connection import AllowedStreamIDs
from h2.connection import _decode_headers as decode_headers

__all__ = [
    "GRPC_CONTENT_TYPE",
    "SPECIAL_HEADERS",
    "USER_AGENT",
    "AbstractHandler",
    "AllowedStreamIDs",
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
    "Peer",
    "StatusDetailsCodecBase",
    "Wrapper",
    "decode_headers",
    "encode_grpc_message",
    "encode_metadata",
    "set_nodelay",
]
