"""What is read of betterproto2's messages, against google.protobuf, and what it costs."""

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
    """Both read the same, or both refuse: then why we do."""
    try:
        theirs = pair.theirs.FromString(data)
    except DecodeError:
        theirs = None
    try:
        ours = decode_message(data, pair.ours)
    except ValueError as error:
        why = str(error)
    else:
        assert theirs is not None, f"not refused, but read: {ours}"
        assert_same(ours, theirs)
        return None
    # A datetime has fewer years; and only in a message without fields protobuf takes a field 0.
    is_stricter = "is out of the range of Python" in why or (
        "field with the number 0" in why and not pair.theirs.DESCRIPTOR.fields
    )
    assert theirs is None or is_stricter, f"refused: {why}"
    return why


@pytest.mark.parametrize("source", SOURCES)
@given(data=st.data())
@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_the_bytes(source: str, data: st.DataObject) -> None:
    """It is the message that protobuf reads, or refused as protobuf refuses it."""
    pairs = pairs_of(source)
    pair = pairs[data.draw(st.sampled_from(sorted(pairs)))]
    compare(pair, data.draw(encoded(pair.theirs.DESCRIPTOR)))


PUBLISH = bytes(PublishRequest(room="a", user="b", text="Hello, all"))
CUT_OFF = "it ends in the middle of a field"
ENDLESS = "it has a number without an end"


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        # Cut off: in a text, its size, a tag, a number, and what has a fixed size.
        (f"{ROOMS}.PublishRequest", PUBLISH[:-4], CUT_OFF),
        (f"{ROOMS}.PublishRequest", b"\x0a", ENDLESS),
        (f"{ROOMS}.PublishRequest", b"\x8a", ENDLESS),
        (f"{ROOMS}.HistoryRequest", b"\x18\x80", ENDLESS),
        (f"{KINDS}.Single", b"\x45\x01\x02\x03", CUT_OFF),
        # Within another message, where more follows.
        (f"{ROOMS}.HistoryRequest", delimited(2, b"\x0a\x02a") + b"\x20\x01", CUT_OFF),
        (f"{ROOMS}.HistoryRequest", delimited(2, b"\x10\x80") + b"\x20\x01", CUT_OFF),
        (f"{ROOMS}.HistoryRequest", delimited(2, b"\x10") + b"\x20\x01", CUT_OFF),
        (f"{ROOMS}.HistoryRequest", delimited(2, b"\x33") + b"\x34", "in the middle of a group"),
        # Among packed values.
        (f"{KINDS}.Repeated", delimited(2, b"\x01\x80") + b"\x01", "in the middle of a number"),
        (f"{KINDS}.Repeated", delimited(8, bytes(7)) + b"\x01", CUT_OFF),
        # Numbers.
        (f"{ROOMS}.HistoryRequest", b"\x18" + b"\xff" * 10 + b"\x01", ENDLESS),
        (f"{ROOMS}.HistoryRequest", b"\x98" + b"\x80" * 4 + b"\x00\x01", ENDLESS),
        (f"{ROOMS}.HistoryRequest", b"\x00\x01", "a field with the number 0"),
        (f"{ROOMS}.HistoryRequest", b"\x80\x80\x80\x80\x10\x01", "with the number 536870912"),
        # What is no field.
        (f"{ROOMS}.HistoryRequest", b"\x0e", "of the wire type 6"),
        (f"{ROOMS}.HistoryRequest", b"\x0c", "of the wire type 4"),
        (f"{ROOMS}.HistoryRequest", b"\x0b\x14", "the groups in it do not match"),
        (f"{ROOMS}.HistoryRequest", b"\x0b\x0a\x00", "in the middle of a group"),
        # What is in the way of a field that is replaced later.
        (f"{KINDS}.Choice", delimited(4, b"\x08") + delimited(2, b"b"), CUT_OFF),
        # Text.
        (f"{ROOMS}.PublishRequest", b"\x1a\x01\xff", "'utf-8' codec can't decode byte 0xff"),
        (f"{ROOMS}.PublishRequest", b"\x1a\x03\xed\xa0\x80", "'utf-8' codec can't decode"),
        (f"{KINDS}.Maps", delimited(14, delimited(1, b"\xff")), "'utf-8' codec can't decode"),
    ],
)
def test_what_is_no_message(name: str, data: bytes, why: str) -> None:
    """It is refused, as protobuf refuses it, with what is wrong."""
    refusal = compare(pair_named(name), data)
    assert refusal is not None
    assert why in refusal


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        # Another wire type than the field's own: as if it was not there.
        (f"{ROOMS}.PublishRequest", b"\x08\x06", ""),
        (f"{ROOMS}.PublishRequest", b"\x1a\x01a\x18\x06\x1d1234", "text='a'"),
        (f"{ROOMS}.HistoryRequest", varint_field(2, 2**62), ""),
        (f"{ROOMS}.HistoryRequest", delimited(3, b"\x07"), ""),
        (f"{KINDS}.Single", b"\x0d1234" + b"\x41" + bytes(8), ""),
        (f"{KINDS}.Repeated", b"\x15" + bytes(4), ""),
        (f"{KINDS}.Maps", varint_field(1, 1), ""),
        # Known fields within an unknown group are not the message's.
        (f"{ROOMS}.PublishRequest", grouped(9, PUBLISH), ""),
        (f"{ROOMS}.PublishRequest", grouped(1, grouped(0, b"\x0a\x01a")), ""),
        # The last one counts; messages merge.
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
        # Of numbers the bits that there are.
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
        # Entries of maps, without a key or a value too, and with fields that entries do not have.
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
        # What is wrapped merges as messages do.
        (f"{KINDS}.Wrapped", delimited(2, b""), "a_int32=0"),
        (f"{KINDS}.Wrapped", delimited(2, b"\x08\x07") + delimited(2, b""), "a_int32=7"),
        (
            f"{KINDS}.Wrapped",
            delimited(15, delimited(11, b"\x08\x07")) + delimited(15, delimited(11, b"\x10\x00")),
            "wrapped=Wrapped(duration=datetime.timedelta(seconds=7))",
        ),
    ],
)
def test_what_protobuf_reads(name: str, data: bytes, expected: str) -> None:
    """It is read so, whatever betterproto2 itself would make of it."""
    pair = pair_named(name)
    assert compare(pair, data) is None
    assert repr(decode_message(data, pair.ours)) == f"{pair.ours.__name__}({expected})"


@pytest.mark.parametrize("field", ["timestamp", "duration"])
def test_more_than_python_has(field: str) -> None:
    """A time that Python has no value for is refused, by the name of its field."""
    pair = pair_named(f"{KINDS}.Wrapped")
    number = pair.theirs.DESCRIPTOR.fields_by_name[field].number
    refusal = compare(pair, delimited(number, varint_field(1, 2**62)))
    assert refusal is not None
    assert refusal.startswith(f"its {field} is out of the range of Python: ")


def test_what_is_unknown_is_kept() -> None:
    """Encoded again, the message has what was unknown in it, and in messages in it."""
    request = pair_named(f"{ROOMS}.HistoryRequest").ours
    data = delimited(1, b"a") + delimited(2, b"\x78\x01") + b"\x12\x02\x7a\x00" + b"\x78\x02"
    again = delimited(1, b"a") + delimited(2, b"\x78\x01\x7a\x00") + b"\x78\x02"
    message = decode_message(data, request)
    assert bytes(message) == again
    assert type(message._unknown_fields) is bytes


def nested(content: bytes, depth: int) -> bytes:
    """A Single within others."""
    for _ in range(depth):
        content = delimited(17, content)
    return content


@pytest.mark.parametrize("depth", [1, 50, 98, 99, 100, 101, 102, 200])
class TestDepth:
    def test_messages(self, depth: int) -> None:
        """Messages within messages are read as deep as protobuf reads them."""
        pair = pair_named(f"{KINDS}.Single")
        refusal = compare(pair, nested(b"\x08\x01", depth))
        assert refusal == (None if depth <= 100 else "its messages are too deep")

    def test_maps(self, depth: int) -> None:
        """An entry of a map is a message, and so is its value."""
        pair = pair_named(f"{KINDS}.Maps")
        data = b""
        for _ in range(depth // 2):
            data = delimited(14, delimited(2, data))
        assert (compare(pair, data) is None) == (depth // 2 <= 50)

    @pytest.mark.parametrize("around", [0, 1, 50])
    def test_groups(self, depth: int, around: int) -> None:
        """Groups are as deep as the messages that they are in, and more."""
        pair = pair_named(f"{KINDS}.Single")
        groups = b"\xbb\x01" * depth + b"\xbc\x01" * depth
        refusal = compare(pair, nested(groups, around))
        assert refusal == (None if depth + around <= 100 else "its groups are too deep")


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
    """Reading takes a few times the memory that the bytes do, whatever they say."""
    message_type = pair_named(name).ours
    decode_message(b"", message_type)
    tracemalloc.start()
    try:
        decode_message(data, message_type)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < times * len(data) + 20_000
