"""Codecs of grpclib for messages with the methods of betterproto2 or google.protobuf."""

from __future__ import annotations

import logging
from typing import Any

import betterproto2
from grpclib.const import Status

from ...errors import StatusError, UsageError
from ..grpclib_internals import CodecBase, StatusDetailsCodecBase
from .decoder import decode_message

log = logging.getLogger(__name__)


class ProtoCodec(CodecBase):
    """The codec of `application/grpc+proto`. A malformed message is INTERNAL, as in gRPC."""

    __content_subtype__ = "proto"

    def encode(self, message: Any, message_type: Any) -> bytes:
        """Return the encoded message. Raises `UsageError` if its type or a value is wrong."""
        if not isinstance(message, message_type):
            raise UsageError(
                f"{message!r}: the message is a {type(message).__name__}; "
                f"pass a {message_type.__name__}"
            )
        try:
            data: bytes = message.SerializeToString()
        except UnicodeEncodeError as error:
            raise UsageError(
                f"{message_type.__name__}: text is not valid Unicode, {error.reason} "
                f"at character {error.start}"
            ) from error
        except (AttributeError, TypeError, ValueError, OverflowError) as error:
            raise UsageError(f"{message!r}: cannot encode: {error}") from error
        return data

    def decode(self, data: bytes, message_type: Any) -> Any:
        """Return the decoded message. Raises `StatusError` with INTERNAL if it is malformed."""
        if issubclass(message_type, betterproto2.Message):
            try:
                return decode_message(data, message_type)
            except ValueError as error:
                raise self.malformed(message_type, error) from error
        try:
            return message_type.FromString(data)
        except Exception as error:  # the error class depends on the library
            raise self.malformed(message_type, error) from error

    @staticmethod
    def malformed(message_type: type, error: Exception) -> StatusError:
        """Return the error for data that is not a message of this type."""
        return StatusError(Status.INTERNAL, f"not a valid {message_type.__name__}: {error}")


class StatusDetailsCodec(StatusDetailsCodecBase):
    """The codec of `grpc-status-details-bin`, without a protobuf package.

    Details are a list of `google.protobuf.Any` from `chatify_stream.messages`.
    """

    def encode(self, status: Status, message: str | None, details: Any) -> bytes:
        from ...messages.google.rpc import Status as StatusMessage

        return bytes(StatusMessage(code=status.value, message=message or "", details=list(details)))

    def decode(self, status: Status, message: str | None, data: bytes) -> list[Any] | None:
        """Return the details, or None if they are malformed. Status and text stay valid."""
        from ...messages.google.rpc import Status as StatusMessage

        try:
            return list(decode_message(data, StatusMessage).details)
        except ValueError:
            log.warning("ignoring malformed details of status %s", status.name, exc_info=True)
            return None
