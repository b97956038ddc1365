"""Room sessions over gRPC: one Chat call is one session.

The metadata of the call asks for the room, the initial metadata of the response says where the
session begins, and the trailers say how it ended (`rooms.metadata`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import cast

from ...codec import decode_request, frame_presence, frame_publication, frame_refusal
from ...errors import CallError, CancelledCallError, Status, StatusError, call_error
from ...rooms import Disconnect, DisconnectReason, Encoding, Publication, SessionEnded, check_id
from ...rooms.metadata import JoinRequest, JoinResponse, encode_trailers
from ...wire import ServerStream, StreamTerminatedError
from ..session import peer_of
from .transport import Caller, Request, SessionSummary, TrySend


class _FramedReplies:
    """Encodes each event as a ChatRsp behind its gRPC message prefix."""

    presence = staticmethod(frame_presence)
    refusal = staticmethod(frame_refusal)

    @staticmethod
    def publication(publication: Publication, /) -> bytes:
        return frame_publication(*publication)


FRAMED_REPLIES: Encoding = _FramedReplies()
"""The encoding that all gRPC clients share."""


class GrpcTransport:
    """The `Transport` over the stream of a Chat call."""

    __slots__ = ("_stream",)

    encoding = FRAMED_REPLIES

    def __init__(self, stream: ServerStream, max_message_size: int) -> None:
        """`max_message_size` is in bytes. A larger message ends the session."""
        self._stream = stream
        stream.limit_messages(max_message_size)

    @property
    def caller(self) -> Caller:
        return Caller(peer_of(self._stream), self._stream.identity, self._metadata)

    @property
    def is_half_closed(self) -> bool:
        return self._stream.is_half_closed

    @property
    def send_nowait(self) -> TrySend:
        return self._stream.sender()

    def read_join(self) -> JoinRequest:
        return JoinRequest.decode(self._metadata)

    async def send_joined(self, joined: JoinResponse) -> None:
        await self._stream.send_initial_metadata(metadata=joined.encode())

    async def wait_writable(self, size: int) -> None:
        await _translating_errors(self._stream.room_for(size))

    async def send(self, frames: bytes, count: int) -> None:
        await _translating_errors(self._stream.send_framed(frames, count))

    def receive(self) -> Awaitable[Sequence[Request]]:
        return self._stream.receive_batch(_decode_request)

    def abort(self, disconnect: Disconnect) -> None:
        self._stream.abort(call_error(disconnect.status, disconnect.text))

    def disconnect_for(self, error: BaseException) -> Disconnect | None:
        match self._stream.aborted or error:
            case StatusError(status=Status.INVALID_ARGUMENT) as found:
                return DisconnectReason.BAD_REQUEST(why=found.message)
            case StatusError(status=Status.RESOURCE_EXHAUSTED, retry_after=None) as found:
                return DisconnectReason.TOO_LARGE(why=found.message)
            case StatusError(status=Status.RESOURCE_EXHAUSTED) as found:
                return DisconnectReason.OVER_LIMIT(why=found.message)
            case StatusError(status=Status.UNAUTHENTICATED) as found:
                return DisconnectReason.EXPIRED(why=found.message)
            case StatusError(status=Status.INTERNAL) as found:
                return DisconnectReason.BAD_MESSAGE(why=found.message)
            case CancelledCallError() | StreamTerminatedError():
                return DisconnectReason.LEFT()
            case CallError():
                return DisconnectReason.FAILED()
            case _:
                return None

    def error_for(self, disconnect: Disconnect, cause: BaseException) -> CallError:
        metadata = None
        if disconnect.reason == "over_limit" and isinstance(cause, StatusError):
            metadata = cause.metadata  # says when to try again
        return call_error(disconnect.status, disconnect.text, metadata=metadata)

    def ended(self, summary: SessionSummary) -> None:
        disconnect = summary.disconnect
        self._stream.log_fields = {
            **self._stream.log_fields,
            "room": summary.room,
            "user": summary.user,
            "session": summary.session_id,
            "ending": disconnect.reason,
        }
        self._stream.trailers.update(encode_trailers(disconnect.reconnect, summary.position))

    @property
    def _metadata(self) -> Mapping[str, str | bytes]:
        return cast("Mapping[str, str | bytes]", self._stream.metadata)


def _decode_request(data: bytes) -> Request:
    """Raises `ValueError` for bytes that are not a ChatReq, `StatusError` for an invalid id."""
    text, message_id = decode_request(data)
    try:
        return text, check_id(message_id)
    except ValueError as error:
        raise StatusError(Status.INVALID_ARGUMENT, str(error)) from None


async def _translating_errors(write: Awaitable[None]) -> None:
    try:
        await write
    except StatusError as error:
        raise SessionEnded(DisconnectReason.STALLED(why=error.message)) from error
    except (CallError, StreamTerminatedError) as error:
        raise SessionEnded(DisconnectReason.LEFT()) from error
