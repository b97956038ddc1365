"""How messages become bytes, for any message class with betterproto2's or protobuf's methods."""

from __future__ import annotations

import logging
from typing import Any

import betterproto2
from grpclib.const import Status

from ...errors import StatusError, UsageError
from ..grpclib_internals import CodecBase, StatusDetailsCodecBase
from .decoder import decode_message

__all__ = ["ProtoCodec", "StatusDetailsCodec"]

log = logging.getLogger(__name__)


class ProtoCodec(CodecBase):
    """`application/grpc+proto`. A message that cannot be read is INTERNAL, as gRPC says."""

    __content_subtype__ = "proto"

    def encode(self, message: Any, message_type: Any) -> bytes:
        """Raises `UsageError` for a message of another type, or with a value that has no bytes."""
        if not isinstance(message, message_type):
            raise UsageError(
                f"a message has to be of type {message_type.__name__}, "
                f"not {type(message).__name__}: {message!r}"
            )
        try:
            data: bytes = message.SerializeToString()
        except UnicodeEncodeError as error:
            raise UsageError(
                f"{message_type.__name__} holds text that is not valid Unicode: {error.reason} "
                f"at character {error.start}"
            ) from error
        except (AttributeError, TypeError, ValueError, OverflowError) as error:
            raise UsageError(f"{message!r} cannot be encoded: {error}") from error
        return data

    def decode(self, data: bytes, message_type: Any) -> Any:
        """A class of betterproto2's is read by `decode_message`, any other by itself."""
        if issubclass(message_type, betterproto2.Message):
            try:
                return decode_message(data, message_type)
            except ValueError as error:
                raise self.not_valid(message_type, error) from error
        try:
            return message_type.FromString(data)
        except Exception as error:  # of an error class that only it knows
            raise self.not_valid(message_type, error) from error

    @staticmethod
    def not_valid(message_type: type, error: Exception) -> StatusError:
        """The error for bytes that are no message of this type."""
        return StatusError(
            Status.INTERNAL, f"the message is not a valid {message_type.__name__}: {error}"
        )


class StatusDetailsCodec(StatusDetailsCodecBase):
    """The details of a status, in `grpc-status-details-bin`, without a protobuf package.

    In Python they are a list of `google.protobuf.Any` from `chatify_stream.messages`.
    """

    def encode(self, status: Status, message: str | None, details: Any) -> bytes:
        from ...messages.google.rpc import Status as StatusMessage

        return bytes(StatusMessage(code=status.value, message=message or "", details=list(details)))

    def decode(self, status: Status, message: str | None, data: bytes) -> list[Any] | None:
        """None when they cannot be read: the status and its text still count."""
        from ...messages.google.rpc import Status as StatusMessage

        try:
            return list(decode_message(data, StatusMessage).details)
        except ValueError:
            log.warning("the details of a %s status cannot be read", status.name, exc_info=True)
            return None
