"""Tests of codec.py, which compare every byte with google.protobuf."""

from __future__ import annotations

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chatify_stream import ChatReq, ChatRsp, Status, StatusError, UsageError
from chatify_stream.codec import (
    ChatCodec,
    decode_name,
    decode_reply,
    decode_request,
    encode_request,
    frame_presence,
    frame_publication,
    frame_refusal,
    frame_text,
)
from chatify_stream.messages.grpc.health.v1 import HealthCheckRequest
from chatify_stream.server.services.reflection import own_descriptor_set
from chatify_stream.wire import frame


def oracle_class(name: str) -> type:
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(own_descriptor_set()).file:
        pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"service.v1.{name}"))


REQUEST, REPLY = oracle_class("ChatReq"), oracle_class("ChatRsp")


def request_of(message: object) -> tuple[object, ...]:
    return (message.name, message.id)


def reply_of(message: object) -> tuple[object, ...]:
    fields = (message.message, message.sender, message.id, message.offset, message.sent_at_ms)
    return (*fields, int(message.kind))


def oracle(data: bytes, kind: type = REQUEST) -> tuple[object, ...] | None:
    """Decode with google.protobuf. Return None for malformed data."""
    try:
        message = kind.FromString(data)
    except DecodeError:
        return None
    return request_of(message) if kind is REQUEST else reply_of(message)


def ours(data: bytes, kind: type = REQUEST) -> tuple[object, ...] | None:
    try:
        return decode_request(data) if kind is REQUEST else reply_of(decode_reply(data))
    except ValueError:
        return None


def name_of(data: bytes) -> str | None:
    try:
        return decode_name(data)
    except ValueError:
        return None


def varint(number: int) -> bytes:
    data = bytearray()
    while number >= 0x80:
        data.append(number & 0x7F | 0x80)
        number >>= 7
    data.append(number)
    return bytes(data)


def delimited(tag: int, content: bytes) -> bytes:
    return varint(tag) + varint(len(content)) + content


tags = st.one_of(
    st.sampled_from(bytes.fromhex("0A08090B0C0D12131400020E0F1A182022282D3032")),
    st.integers(0, 2**33),
)
fields = st.one_of(
    st.text().map(lambda text: delimited(0x0A, text.encode())),
    st.binary(max_size=20).map(lambda content: delimited(0x0A, content)),
    st.builds(
        lambda tag, text: delimited(tag, text.encode()), st.sampled_from([0x12, 0x1A]), st.text()
    ),
    st.builds(
        lambda tag, number: varint(tag) + varint(number),
        st.sampled_from([0x20, 0x28, 0x30]),
        st.integers(0, 2**64 - 1),
    ),
    st.builds(delimited, tags, st.binary(max_size=20)),
    st.builds(lambda tag, rest: varint(tag) + rest, tags, st.binary(max_size=12)),
    st.binary(max_size=12),
)
messages = st.one_of(
    st.lists(fields, max_size=5).map(b"".join),
    # Cut somewhere, and with groups around.
    st.builds(lambda parts, end: b"".join(parts)[:end], st.lists(fields), st.integers(0, 40)),
    st.builds(
        lambda inner, number: varint(number << 3 | 3) + b"".join(inner) + varint(number << 3 | 4),
        st.lists(fields, max_size=3),
        st.integers(1, 20),
    ),
)


@given(messages)
@settings(max_examples=1000)
@example(b"\x0a\x05ab")
@example(b"\x08\x01")
@example(b"\x0a\x01a\x0a\x01b")
@example(b"\x8a\x00\x01a")
@example(b"\x0a\x81\x00a")
@example(b"\xff" * 10 + b"\x01")
@example(b"\x0a" + b"\xff" * 9 + b"\x01")
@example(b"\x0a" + b"\x80" * 4 + b"\x00")  # sizes and tags have at most five bytes, ...
@example(b"\x0a" + b"\x80" * 5 + b"\x00")
@example(b"\x12" + b"\x80" * 5 + b"\x00")
@example(b"\x8a" + b"\x80" * 4 + b"\x00\x01a")
@example(b"\x93" + b"\x80" * 4 + b"\x00\x14")
@example(b"\x08" + b"\x80" * 9 + b"\x00")  # ... values ten
@example(b"\x08" + b"\x80" * 10 + b"\x00")
def test_decoding(data: bytes) -> None:
    """Any bytes decode to the same request and reply, or are rejected by both."""
    request = oracle(data)
    assert ours(data) == request
    assert ours(data, REPLY) == oracle(data, REPLY)
    assert name_of(data) == (None if request is None else request[0])


@given(st.text(), st.text(max_size=200))
@example("x" * 127, "y" * 127)
@example("x" * 128, "y" * 128)
@example("世" * 10_000, "")
@example("", "id")
def test_encoding(text: str, message_id: str) -> None:
    """A request is encoded to the same bytes and survives a round trip."""
    assert encode_request(text, "") == REQUEST(name=text).SerializeToString()
    data = encode_request(text, message_id)
    assert data == REQUEST(name=text, id=message_id).SerializeToString()
    assert decode_request(data) == (text, message_id)
    assert decode_name(data) == text


@given(st.integers(1, 2**63 - 1), st.text(min_size=1), st.text(), st.text(), st.integers(1, 2**62))
def test_what_rooms_send(offset: int, user: str, text: str, message_id: str, ms: int) -> None:
    """Messages, joins, leaves and rejections of rooms are encoded to the same bytes."""
    message = REPLY(message=text, sender=user, id=message_id, offset=offset, sent_at_ms=ms)
    framed = frame_publication(offset, user, text, message_id, ms)
    assert framed == frame(message.SerializeToString())
    assert reply_of(decode_reply(framed[5:])) == reply_of(message)
    for joined in (True, False):
        presence = REPLY(sender=user, kind=1 if joined else 2)
        assert frame_presence(user, joined) == frame(presence.SerializeToString())
    refusal = REPLY(message=text, id=message_id, kind=3)
    assert frame_refusal(message_id, text) == frame(refusal.SerializeToString())


@pytest.mark.parametrize("depth", [1, 50, 98, 99, 100, 101, 102, 200])
def test_deep_groups(depth: int) -> None:
    """The limit on nested groups equals that of google.protobuf."""
    data = b"\x13" * depth + b"\x14" * depth + b"\x0a\x01a"
    assert ours(data) == oracle(data)


class TestChatCodec:
    @pytest.mark.parametrize(
        "message",
        [
            ChatReq(name="世界"),
            ChatReq(name="a", id="7"),
            ChatReq(),
            ChatRsp(message=""),
            ChatRsp(message="a", sender="b", id="c", offset=2**64 - 1, sent_at_ms=-5, kind=9),
        ],
    )
    def test_chat_messages(self, message: ChatReq | ChatRsp) -> None:
        """Chat messages are encoded to the same bytes as by betterproto2."""
        data = ChatCodec().encode(message, type(message))
        assert data == bytes(message)
        assert ChatCodec().decode(data, type(message)) == message

    def test_other_messages(self) -> None:
        """Other messages are encoded and decoded by ProtoCodec."""
        message = HealthCheckRequest(service="a")
        data = ChatCodec().encode(message, HealthCheckRequest)
        assert ChatCodec().decode(data, HealthCheckRequest) == message

    @pytest.mark.parametrize(
        ("message", "text"),
        [
            (ChatRsp(message="a"), "the message is a ChatRsp; pass a ChatReq"),
            (ChatReq(name="\udcff"), "not valid Unicode"),
            (ChatReq(name=5), "cannot encode"),
            (ChatReq(name="a", id=5), "cannot encode"),
        ],
    )
    def test_what_cannot_be_encoded(self, message: object, text: str) -> None:
        """A message of another type or with a bad value is a UsageError with the reason."""
        with pytest.raises(UsageError, match=text):
            ChatCodec().encode(message, ChatReq)

    @pytest.mark.parametrize("kind", [ChatReq, ChatRsp])
    @pytest.mark.parametrize("data", [b"\x0a\x05ab", b"\x0a\x01\xff", b"\x0f"])
    def test_what_cannot_be_decoded(self, kind: type, data: bytes) -> None:
        """Malformed data is INTERNAL with the reason."""
        with pytest.raises(StatusError, match=f"not a valid {kind.__name__}: ") as caught:
            ChatCodec().decode(data, kind)
        assert caught.value.status is Status.INTERNAL


@given(st.text())
def test_frame_text(text: str) -> None:
    """frame_text equals the framed message, for texts of any length."""
    assert frame_text(text) == frame(encode_request(text, ""))


@pytest.mark.parametrize("text", [b"Ada", None, 5])
def test_frame_text_of_another_type(text: object) -> None:
    """A value that is not a str is a UsageError with its type."""
    with pytest.raises(UsageError, match=f"a {type(text).__name__} is not allowed; pass a str"):
        frame_text(text)


@pytest.mark.parametrize("size", [0, 1, 126, 127, 128, 129, 16383, 16384])
def test_frame_text_at_the_bounds(size: int) -> None:
    """Texts are framed correctly where their length takes one more byte."""
    assert frame_text("x" * size) == frame(encode_request("x" * size, ""))
