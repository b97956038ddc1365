"""Tests of wire/protobuf/codec.py."""

from __future__ import annotations

import pytest
from grpc_health.v1 import health_pb2

from chatify_stream.errors import StatusError, UsageError
from chatify_stream.messages.google.protobuf import Any
from chatify_stream.messages.google.rpc import Status as StatusMessage
from chatify_stream.messages.grpc.health.v1 import HealthCheckRequest
from chatify_stream.messages.service.v1 import ChatReq, ChatRsp
from chatify_stream.wire import ProtoCodec, Status, StatusDetailsCodec


class TestProtoCodec:
    def test_round_trip(self) -> None:
        """An encoded message decodes to an equal message."""
        codec = ProtoCodec()
        data = codec.encode(ChatReq(name="世界"), ChatReq)
        assert data == b"\x0a\x06" + "世界".encode()
        assert codec.decode(data, ChatReq) == ChatReq(name="世界")

    @pytest.mark.parametrize(
        ("message", "text"),
        [
            (ChatRsp(message="a"), "the message is a ChatRsp; pass a ChatReq"),
            ("a", "the message is a str; pass a ChatReq"),
            (None, "the message is a NoneType; pass a ChatReq"),
            (ChatReq(name="\udcff"), "not valid Unicode"),
            (ChatReq(name=5), "cannot encode"),
        ],
    )
    def test_encoding_errors(self, message: object, text: str) -> None:
        """A message of another type or with a bad value is a UsageError with the reason."""
        with pytest.raises(UsageError, match=text):
            ProtoCodec().encode(message, ChatReq)

    @pytest.mark.parametrize("data", [b"\x0a", b"\xff" * 12, b"\x0a\x01\xff", b"\x0a\x05ab"])
    @pytest.mark.parametrize(
        "message_type", [ChatReq, HealthCheckRequest, health_pb2.HealthCheckRequest]
    )
    def test_decoding_errors(self, data: bytes, message_type: type) -> None:
        """Malformed data is INTERNAL with the reason, for classes of both libraries."""
        name = message_type.__name__
        with pytest.raises(StatusError, match=f"not a valid {name}: .") as caught:
            ProtoCodec().decode(data, message_type)
        assert caught.value.status is Status.INTERNAL

    def test_messages_of_protobuf(self) -> None:
        """Classes of google.protobuf are encoded and decoded by that library."""
        message = health_pb2.HealthCheckRequest(service="a")
        data = ProtoCodec().encode(message, health_pb2.HealthCheckRequest)
        assert ProtoCodec().decode(data, health_pb2.HealthCheckRequest) == message


class TestStatusDetailsCodec:
    def test_round_trip(self) -> None:
        """Encoded details decode to equal details of any type."""
        details = [Any(type_url="type.googleapis.com/a.B", value=b"\x01"), Any(type_url="x")]
        codec = StatusDetailsCodec()
        data = codec.encode(Status.NOT_FOUND, "nothing", details)
        message = StatusMessage.parse(data)
        assert (message.code, message.message) == (Status.NOT_FOUND.value, "nothing")
        assert codec.decode(Status.NOT_FOUND, "nothing", data) == details

    @pytest.mark.parametrize("data", [b"\x1a", b"\x1a\x05\x0a\x01a", b"\x1a\x03\x0a\x01\xff"])
    def test_malformed_details(self, data: bytes) -> None:
        """Malformed details are ignored, and the status and its text stay valid."""
        assert StatusDetailsCodec().decode(Status.NOT_FOUND, "nothing", data) is None
