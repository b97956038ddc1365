"""Tests of wire/protobuf/decoder.py: results against google.protobuf, and memory."""

from __future__ import annotations

import tracemalloc

import pytest
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatify_stream.messages.chatify.rooms.v1 import PublishRequest
from chatify_stream.wire import decode_message

from ..encoding import delimited, encoded, grouped, varint_field
from ..oracles import SOURCES, Pair, assert_same, pairs_of

ROOMS, KINDS = "chatify.rooms.v1", "test.every_kind"
SIZE = 1 << 17


def pair_named(name: str) -> Pair:
    return next(pairs[name] for pairs in map(pairs_of, SOURCES) if name in pairs)


def compare(pair: Pair, data: bytes) -> str | None:
    """Decode with both libraries and compare. Return the reason if both reject the data."""
    try:
        theirs = pair.theirs.FromString(data)
    except DecodeError:
        theirs = None
    try:
        ours = decode_message(data, pair.ours)
    except ValueError as error:
        why = str(error)
    else:
        assert theirs is not None, f"accepted, but google.protobuf rejects it: {ours}"
        assert_same(ours, theirs)
        return None
    # datetime covers fewer years; google.protobuf accepts field 0 in a message without fields.
    is_stricter = "is out of the range of Python" in why or (
        "field number 0" in why and not pair.theirs.DESCRIPTOR.fields
    )
    assert theirs is None or is_stricter, f"rejected, but google.protobuf accepts it: {why}"
    return why


@pytest.mark.parametrize("source", SOURCES)
@given(data=st.data())
@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_bytes(source: str, data: st.DataObject) -> None:
    """Any bytes give the message of google.protobuf, or are rejected by both."""
    pairs = pairs_of(source)
    pair = pairs[data.draw(st.sampled_from(sorted(pairs)))]
    compare(pair, data.draw(encoded(pair.theirs.DESCRIPTOR)))


PUBLISH = bytes(PublishRequest(room="a", user="b", text="Hello, all"))
TRUNCATED = "truncated field"
ENDLESS = "varint without an end"


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        # Truncated in a text, its size, a tag, a number and a fixed-size field.
        (f"{ROOMS}.PublishRequest", PUBLISH[:-4], TRUNCATED),
        (f"{ROOMS}.PublishRequest", b"\x0a", ENDLESS),
        (f"{ROOMS}.PublishRequest", b"\x8a", ENDLESS),
        (f"{ROOMS}.HistoryRequest", b"\x18\x80", ENDLESS),
        (f"{KINDS}.Single", b"\x45\x01\x02\x03", TRUNCATED),
        # Within another message, where more follows.
        (f"{ROOMS}.HistoryRequest", delimited(2, b"\x0a\x02a") + b"\x20\x01", TRUNCATED),
        (f"{ROOMS}.HistoryRequest", delimited(2, b"\x10\x80") + b"\x20\x01", TRUNCATED),
        (f"{ROOMS}.HistoryRequest", delimited(2, b"\x10") + b"\x20\x01", TRUNCATED),
        (f"{ROOMS}.HistoryRequest", delimited(2, b"\x33") + b"\x34", "truncated group"),
        # Among packed values.
        (f"{KINDS}.Repeated", delimited(2, b"\x01\x80") + b"\x01", "truncated packed value"),
        (f"{KINDS}.Repeated", delimited(8, bytes(7)) + b"\x01", TRUNCATED),
        # Numbers.
        (f"{ROOMS}.HistoryRequest", b"\x18" + b"\xff" * 10 + b"\x01", ENDLESS),
        (f"{ROOMS}.HistoryRequest", b"\x98" + b"\x80" * 4 + b"\x00\x01", ENDLESS),
        (f"{ROOMS}.HistoryRequest", b"\x00\x01", "field number 0"),
        (f"{ROOMS}.HistoryRequest", b"\x80\x80\x80\x80\x10\x01", "field number 536870912"),
        # Invalid wire types and groups.
        (f"{ROOMS}.HistoryRequest", b"\x0e", "wire type 6"),
        (f"{ROOMS}.HistoryRequest", b"\x0c", "wire type 4"),
        (f"{ROOMS}.HistoryRequest", b"\x0b\x14", "unmatched end of group"),
        (f"{ROOMS}.HistoryRequest", b"\x0b\x0a\x00", "truncated group"),
        # A malformed field that a later field of the oneof replaces.
        (f"{KINDS}.Choice", delimited(4, b"\x08") + delimited(2, b"b"), TRUNCATED),
        # Text.
        (f"{ROOMS}.PublishRequest", b"\x1a\x01\xff", "'utf-8' codec can't decode byte 0xff"),
        (f"{ROOMS}.PublishRequest", b"\x1a\x03\xed\xa0\x80", "'utf-8' codec can't decode"),
        (f"{KINDS}.Maps", delimited(14, delimited(1, b"\xff")), "'utf-8' codec can't decode"),
    ],
)
def test_malformed(name: str, data: bytes, why: str) -> None:
    """Malformed data is rejected, as by google.protobuf, with the reason."""
    refusal = compare(pair_named(name), data)
    assert refusal is not None
    assert why in refusal


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        # A field with the wrong wire type is unknown.
        (f"{ROOMS}.PublishRequest", b"\x08\x06", ""),
        (f"{ROOMS}.PublishRequest", b"\x1a\x01a\x18\x06\x1d1234", "text='a'"),
        (f"{ROOMS}.HistoryRequest", varint_field(2, 2**62), ""),
        (f"{ROOMS}.HistoryRequest", delimited(3, b"\x07"), ""),
        (f"{KINDS}.Single", b"\x0d1234" + b"\x41" + bytes(8), ""),
        (f"{KINDS}.Repeated", b"\x15" + bytes(4), ""),
        (f"{KINDS}.Maps", varint_field(1, 1), ""),
        # Fields within an unknown group do not belong to the message.
        (f"{ROOMS}.PublishRequest", grouped(9, PUBLISH), ""),
        (f"{ROOMS}.PublishRequest", grouped(1, grouped(0, b"\x0a\x01a")), ""),
        # The last value wins; messages are merged.
        (f"{ROOMS}.PublishRequest", b"\x0a\x01a\x0a\x01b", "room='b'"),
        (
            f"{ROOMS}.HistoryRequest",
            delimited(2, b"\x0a\x01a\x10\x01") + delimited(2, b"\x10\x02"),
            "after=Position(epoch='a', offset=2)",
        ),
        # One field of a oneof.
        (f"{KINDS}.Choice", b"\x08\x01" + delimited(2, b"b"), "a_string='b'"),
        (f"{KINDS}.Choice", delimited(2, b"b") + b"\x08\x00\x40\x01", "a_int32=0, a_bool=True"),
        (
            f"{KINDS}.Choice",
            delimited(4, b"\x08\x01") + delimited(2, b"b") + delimited(4, b"\x10\x02"),
            "single=Single(a_int32=2)",
        ),
        (
            f"{KINDS}.Choice",
            delimited(4, b"\x08\x01") + delimited(4, b"\x10\x02"),
            "single=Single(a_bool=True, a_int32=2)",
        ),
        # Numbers are truncated to the bits of their type.
        (f"{KINDS}.Single", b"\x08" + b"\x80" * 9 + b"\x02", ""),
        (f"{KINDS}.Single", varint_field(1, 2**40), "a_bool=True"),
        (f"{KINDS}.Single", varint_field(2, 2**32 + 2**31), "a_int32=-2147483648"),
        (f"{KINDS}.Single", varint_field(4, 2**32 + 5), "a_uint32=5"),
        (f"{KINDS}.Single", varint_field(6, 2**32 + 5), "a_sint32=-3"),
        (f"{KINDS}.Single", varint_field(16, 2**64 - 1), "color=<Color.BLUE: -1>"),
        (f"{KINDS}.Single", varint_field(16, 2**32 + 1), "color=<Color.GREEN: 1>"),
        (f"{KINDS}.Single", varint_field(16, 77), "color=<Color.~UNKNOWN: 77>"),
        # Packed or not.
        (
            f"{KINDS}.Repeated",
            b"\x10\x01" + delimited(2, b"\x02\x03") + b"\x18\x04" + delimited(3, b"\x05"),
            "a_int32=[1, 2, 3], a_int64=[4, 5]",
        ),
        # Map entries, also without a key or value and with unknown fields.
        (f"{KINDS}.Maps", delimited(1, b""), "color={False: <Color.RED: 0>}"),
        (f"{KINDS}.Maps", delimited(2, b"\x08\x07"), "single={7: Single()}"),
        (f"{KINDS}.Maps", delimited(11, delimited(2, b"b")), "a_string={0: 'b'}"),
        (
            f"{KINDS}.Maps",
            delimited(2, delimited(2, b"\x08\x01") + delimited(2, b"\x10\x02")),
            "single={0: Single(a_bool=True, a_int32=2)}",
        ),
        (
            f"{KINDS}.Maps",
            delimited(2, delimited(2, b"\x08\x01")) + delimited(2, delimited(2, b"\x10\x02")),
            "single={0: Single(a_int32=2)}",
        ),
        (f"{KINDS}.Maps", delimited(1, b"\x18\x01"), ""),
        (
            f"{KINDS}.Maps",
            delimited(12, b""),
            "timestamp={'': datetime.datetime(1970, 1, 1, 0, 0, tzinfo=datetime.timezone.utc)}",
        ),
        # Wrapped messages are merged, too.
        (f"{KINDS}.Wrapped", delimited(2, b""), "a_int32=0"),
        (f"{KINDS}.Wrapped", delimited(2, b"\x08\x07") + delimited(2, b""), "a_int32=7"),
        (
            f"{KINDS}.Wrapped",
            delimited(15, delimited(11, b"\x08\x07")) + delimited(15, delimited(11, b"\x10\x00")),
            "wrapped=Wrapped(duration=datetime.timedelta(seconds=7))",
        ),
    ],
)
def test_details_of_decoding(name: str, data: bytes, expected: str) -> None:
    """These cases decode as in google.protobuf, which betterproto2 does not do."""
    pair = pair_named(name)
    assert compare(pair, data) is None
    assert repr(decode_message(data, pair.ours)) == f"{pair.ours.__name__}({expected})"


@pytest.mark.parametrize("field", ["timestamp", "duration"])
def test_times_out_of_range(field: str) -> None:
    """A time outside the range of Python is rejected with the name of its field."""
    pair = pair_named(f"{KINDS}.Wrapped")
    number = pair.theirs.DESCRIPTOR.fields_by_name[field].number
    refusal = compare(pair, delimited(number, varint_field(1, 2**62)))
    assert refusal is not None
    assert refusal.startswith(f"{field} is out of the range of Python: ")


def test_unknown_fields_are_kept() -> None:
    """Unknown fields, also of nested messages, are part of the message when encoded again."""
    request = pair_named(f"{ROOMS}.HistoryRequest").ours
    data = delimited(1, b"a") + delimited(2, b"\x78\x01") + b"\x12\x02\x7a\x00" + b"\x78\x02"
    again = delimited(1, b"a") + delimited(2, b"\x78\x01\x7a\x00") + b"\x78\x02"
    message = decode_message(data, request)
    assert bytes(message) == again
    assert type(message._unknown_fields) is bytes


def nested(content: bytes, depth: int) -> bytes:
    """Return a Single nested in other messages."""
    for _ in range(depth):
        content = delimited(17, content)
    return content


@pytest.mark.parametrize("depth", [1, 50, 98, 99, 100, 101, 102, 200])
class TestDepth:
    def test_messages(self, depth: int) -> None:
        """The limit on nested messages equals that of google.protobuf."""
        pair = pair_named(f"{KINDS}.Single")
        refusal = compare(pair, nested(b"\x08\x01", depth))
        assert refusal == (None if depth <= 100 else "messages nested too deeply")

    def test_maps(self, depth: int) -> None:
        """A map entry and its value each count as one level."""
        pair = pair_named(f"{KINDS}.Maps")
        data = b""
        for _ in range(depth // 2):
            data = delimited(14, delimited(2, data))
        assert (compare(pair, data) is None) == (depth // 2 <= 50)

    @pytest.mark.parametrize("around", [0, 1, 50])
    def test_groups(self, depth: int, around: int) -> None:
        """The depth of a group includes the messages around it."""
        pair = pair_named(f"{KINDS}.Single")
        groups = b"\xbb\x01" * depth + b"\xbc\x01" * depth
        refusal = compare(pair, nested(groups, around))
        assert refusal == (None if depth + around <= 100 else "groups nested too deeply")


@pytest.mark.parametrize(
    ("name", "data", "times"),
    [
        ("grpc.reflection.v1.ServerReflectionRequest", varint_field(5, 2**40), 1),
        (f"{ROOMS}.PublishRequest", delimited(3, b"x" * SIZE), 2),
        (f"{ROOMS}.PublishRequest", delimited(3, b"x") * (SIZE // 3), 1),
        (f"{ROOMS}.PublishRequest", b"\x78\x01" * (SIZE // 2), 3),
        (f"{ROOMS}.HistoryRequest", b"\x12\x02\x78\x01" * (SIZE // 4), 3),
        (f"{KINDS}.Single", nested(delimited(14, b"x" * SIZE), 100), 2),
        (f"{KINDS}.Single", nested(b"\x8a\x01\x00" * (SIZE // 3), 99), 1),
        (f"{KINDS}.Choice", b"\x1a\x00\x22\x00" * (SIZE // 4), 1),
        (f"{KINDS}.Repeated", delimited(2, b"\x01" * SIZE), 10),
        (f"{KINDS}.Repeated", delimited(16, b"\x63" * SIZE), 10),
    ],
    ids=range(10),
)
def test_memory(name: str, data: bytes, times: int) -> None:
    """Decoding any data takes memory of at most a few times its size."""
    message_type = pair_named(name).ours
    decode_message(b"", message_type)
    tracemalloc.start()
    try:
        decode_message(data, message_type)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < times * len(data) + 20_000
