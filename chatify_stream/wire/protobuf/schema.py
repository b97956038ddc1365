"""The fields of betterproto2 message classes, arranged for decoding.

This module and `decoder` use these attributes, which are not part of betterproto2's documented
API:

- `Message`: `_betterproto`, `_unknown_fields`
- `ProtoClassMetadata`: `cls_by_field`, `meta_by_field_name`
- `FieldMetadata`: `group`, `map_meta`, `number`, `proto_type`, `repeated`, `unwrap`

and `to_wrapped` of the classes that `unwrap` returns, such as Timestamp.

tests/wire/protobuf/test_schema.py names the attribute if a release removes one. The version bounds
in pyproject.toml follow from this list.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, auto
from functools import cache, lru_cache, partial
from typing import Any

import betterproto2
from betterproto2 import FieldMetadata, Message

from .wire_format import FIXED32, FIXED64, LENGTH_DELIMITED, VARINT


class Kind(Enum):
    VALUE = auto()
    PACKED = auto()
    MESSAGE = auto()
    ENTRY = auto()


@dataclass(frozen=True, slots=True)
class Field:
    """A field as encoded with one of its tags."""

    name: str
    kind: Kind
    wire_type: int
    """The wire type of one value, packed or not."""
    make: Callable[..., Any]
    """Convert a varint or bytes to a value, or return an empty message or map entry."""
    is_repeated: bool
    is_wrapped: bool
    """The Python value is the result of `to_wrapped` of the message, for example a datetime."""
    rivals: tuple[str, ...]
    """The other fields of its oneof."""


@dataclass(frozen=True, slots=True)
class Layout:
    by_tag: dict[int, Field]
    messages: tuple[Field, ...]
    """The fields that hold a single message."""


@cache
def layout_of(message_type: type[Message]) -> Layout:
    """Return the fields of a message class. Computed once a class."""
    known = message_type._betterproto  # type: ignore[arg-type]  # its classproperty is mistyped
    metas = known.meta_by_field_name
    by_tag = {}
    for name, meta in metas.items():
        kind, wire_type, make = _kind_of(name, meta, known.cls_by_field)
        field = Field(
            name,
            kind,
            wire_type,
            make,
            is_repeated=bool(meta.repeated),
            is_wrapped=meta.unwrap is not None,
            rivals=tuple(
                other
                for other, its in metas.items()
                if meta.group and its.group == meta.group and other != name
            ),
        )
        by_tag[meta.number << 3 | wire_type] = field
        if field.is_repeated and wire_type != LENGTH_DELIMITED:
            by_tag[meta.number << 3 | LENGTH_DELIMITED] = replace(field, kind=Kind.PACKED)
    messages = [each for each in by_tag.values() if each.kind is Kind.MESSAGE]
    return Layout(by_tag, tuple(each for each in messages if not each.is_repeated))


def _kind_of(
    name: str, meta: FieldMetadata, classes: dict[str, Any]
) -> tuple[Kind, int, Callable[..., Any]]:
    """Return the kind of a field, the wire type of its values and the function that makes them."""
    if meta.map_meta:
        make = _entry_maker(classes[name], classes[f"{name}.value"], meta.map_meta[1])
        return Kind.ENTRY, LENGTH_DELIMITED, make
    if meta.proto_type == betterproto2.TYPE_MESSAGE:
        make = meta.unwrap() if meta.unwrap else classes[name]
        return Kind.MESSAGE, LENGTH_DELIMITED, make
    if meta.proto_type == betterproto2.TYPE_ENUM:
        return Kind.VALUE, VARINT, _enum_maker(classes[name])
    return Kind.VALUE, *_SCALARS[meta.proto_type]


def _enum_maker(enum: type[betterproto2.Enum]) -> Callable[[int], betterproto2.Enum]:
    @lru_cache(maxsize=256)  # betterproto2 is slow for values without a name
    def make(number: int) -> betterproto2.Enum:
        return enum(_signed(32, number))

    return make


def _entry_maker(entry: type, value_type: Any, value: FieldMetadata) -> Callable[[], Any]:
    """Return a function that makes map entries with the default value."""
    if value.proto_type == betterproto2.TYPE_MESSAGE:
        make = value.unwrap() if value.unwrap else value_type
        return lambda: entry(value=make())
    if value.proto_type == betterproto2.TYPE_ENUM:
        return lambda: entry(value=value_type(0))
    return entry


def _signed(bits: int, number: int) -> int:
    number &= (1 << bits) - 1
    return number - (1 << bits) if number >> (bits - 1) else number


def _zigzag(bits: int, number: int) -> int:
    number &= (1 << bits) - 1
    return (number >> 1) ^ -(number & 1)


def _fixed(code: str) -> Callable[[bytes], Any]:
    unpack = struct.Struct(code).unpack
    return lambda data: unpack(data)[0]


_SCALARS: dict[str, tuple[int, Callable[[Any], Any]]] = {
    betterproto2.TYPE_BOOL: (VARINT, bool),
    betterproto2.TYPE_INT32: (VARINT, partial(_signed, 32)),
    betterproto2.TYPE_INT64: (VARINT, partial(_signed, 64)),
    betterproto2.TYPE_UINT32: (VARINT, lambda number: number & 0xFFFFFFFF),
    betterproto2.TYPE_UINT64: (VARINT, lambda number: number),
    betterproto2.TYPE_SINT32: (VARINT, partial(_zigzag, 32)),
    betterproto2.TYPE_SINT64: (VARINT, partial(_zigzag, 64)),
    betterproto2.TYPE_FLOAT: (FIXED32, _fixed("<f")),
    betterproto2.TYPE_FIXED32: (FIXED32, _fixed("<I")),
    betterproto2.TYPE_SFIXED32: (FIXED32, _fixed("<i")),
    betterproto2.TYPE_DOUBLE: (FIXED64, _fixed("<d")),
    betterproto2.TYPE_FIXED64: (FIXED64, _fixed("<Q")),
    betterproto2.TYPE_SFIXED64: (FIXED64, _fixed("<q")),
    betterproto2.TYPE_STRING: (LENGTH_DELIMITED, lambda data: str(data, "utf-8")),
    betterproto2.TYPE_BYTES: (LENGTH_DELIMITED, bytes),
}
