"""Messages of betterproto2's classes, read as google.protobuf reads them, whatever the bytes.

betterproto2's own `parse` takes a message that is cut off in its last field, gives a field what
came with another wire type, sets two fields of a oneof, does not merge messages, reads what is in
an unknown group as if it was outside, and may take time and memory by the square of the size. Here

- what is no message, as `protobuf_fields` says, or has text that is not UTF-8, is a `ValueError`;
- a field that comes with another wire type than its own is unknown, and what is unknown is kept;
- time and memory are in proportion to the size: nothing is copied but what the message holds.

It differs in what a class cannot say or hold: text is UTF-8 and enums are open in proto2 too, and
a time that is none in Python is refused. And a field 0 is refused in every message; protobuf's own
library takes it in one whose class has no fields.
"""

from __future__ import annotations

from typing import Any, TypeVar

from betterproto2 import Message

from .schema import Field, Kind, layout_of
from .wire_format import (
    DEEPEST,
    LONGEST_TAG,
    LONGEST_VALUE,
    VARINT,
    field_end,
    read_varint,
    skip_field,
)

__all__ = ["decode_message"]

M = TypeVar("M", bound=Message)


def decode_message(data: bytes, message_type: type[M]) -> M:
    """Raises `ValueError`, which says why, for bytes that are no such message."""
    message = message_type()
    _Reader(data).read(message, 0, len(data), 0)
    _settle(message)
    return message


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._view = memoryview(data)  # large texts are copied once less so

    def read(self, message: Message, position: int, end: int, depth: int) -> None:
        """Merges the fields that are there into a message that is `depth` deep."""
        if depth > DEEPEST:
            raise ValueError("its messages are too deep")
        data, view = self._data, self._view
        by_tag = layout_of(type(message)).by_tag
        while position < end:
            start = position
            tag, position = read_varint(data, position, LONGEST_TAG)
            field = by_tag.get(tag)
            if field is None:
                position = skip_field(data, position, end, tag, depth)
                _keep(message, view[start:position])
                continue
            wire_type = tag & 7
            if wire_type == VARINT:
                number, position = read_varint(data, position, LONGEST_VALUE)
                value = field.make(number)
            else:
                begin, position = field_end(data, position, end, wire_type)
                if field.kind is Kind.VALUE:
                    value = field.make(view[begin:position])
                elif field.kind is Kind.MESSAGE:
                    value = self._message(message, field, begin, position, depth)
                elif field.kind is Kind.PACKED:
                    self._add_packed(message, field, begin, position)
                    continue
                elif self._add_entry(message, field, begin, position, depth):
                    continue
                else:
                    _keep(message, view[start:position])
                    continue
            if field.is_repeated:
                getattr(message, field.name).append(value)
            else:
                setattr(message, field.name, value)
                for rival in field.rivals:
                    setattr(message, rival, None)
        if position > end:
            raise ValueError("it ends in the middle of a field")

    def _message(self, parent: Any, field: Field, position: int, end: int, depth: int) -> Any:
        message = None if field.is_repeated else getattr(parent, field.name)
        if message is None:
            message = field.make()
        self.read(message, position, end, depth + 1)
        return _settled(message, field) if field.is_repeated else message

    def _add_packed(self, parent: Any, field: Field, position: int, end: int) -> None:
        values = getattr(parent, field.name)
        while position < end:
            if field.wire_type == VARINT:
                number, position = read_varint(self._data, position, LONGEST_VALUE)
                values.append(field.make(number))
            else:
                begin, position = field_end(self._data, position, end, field.wire_type)
                values.append(field.make(self._view[begin:position]))
        if position > end:
            raise ValueError("it ends in the middle of a number")

    def _add_entry(self, parent: Any, field: Field, position: int, end: int, depth: int) -> bool:
        """Adds an entry to a map. False for one with unknown fields, which protobuf keeps out."""
        entry = field.make()
        self.read(entry, position, end, depth + 1)
        _settle(entry)
        if entry._unknown_fields:
            return False
        getattr(parent, field.name)[entry.key] = entry.value
        return True


def _keep(message: Any, unknown: memoryview) -> None:
    if not message._unknown_fields:
        message._unknown_fields = bytearray()  # bytes would be copied for each field
    message._unknown_fields += unknown


def _settle(message: Message) -> None:
    """Once nothing more can be merged into it."""
    if message._unknown_fields:
        message._unknown_fields = bytes(message._unknown_fields)
    for field in layout_of(type(message)).messages:
        child = getattr(message, field.name)
        if child is not None:
            setattr(message, field.name, _settled(child, field))


def _settled(message: Any, field: Field) -> Any:
    """What is found in the field in the end."""
    _settle(message)
    if not field.is_wrapped:
        return message
    try:
        return message.to_wrapped()
    except (ValueError, OverflowError) as error:
        raise ValueError(f"its {field.name} is out of the range of Python: {error}") from error
