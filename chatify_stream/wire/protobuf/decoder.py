"""Decode messages of betterproto2 classes exactly as google.protobuf decodes them.

betterproto2's own `parse` accepts a message that is truncated in its last field, assigns values of
the wrong wire type, sets two fields of a oneof, does not merge messages, reads the fields of an
unknown group as fields of the message, and may take quadratic time and memory. This decoder

- raises `ValueError` for malformed messages (see `wire_format`) and for text that is not UTF-8;
- treats a field with the wrong wire type as unknown, and keeps unknown fields;
- takes time and memory proportional to the size of the data.

It differs from google.protobuf where the classes do: text must be UTF-8 and enums are open also in
proto2, and a timestamp outside the range of Python's datetime is an error. The field number 0 is an
error in every message. google.protobuf accepts it in a message class without fields.
"""

from __future__ import annotations

from typing import Any, TypeVar

from betterproto2 import Message

from .schema import Field, Kind, layout_of
from .wire_format import (
    MAX_DEPTH,
    MAX_TAG_BYTES,
    MAX_VALUE_BYTES,
    VARINT,
    field_end,
    read_varint,
    skip_field,
)

M = TypeVar("M", bound=Message)


def decode_message(data: bytes, message_type: type[M]) -> M:
    """Return the decoded message. Raises `ValueError`, with the reason, if `data` is malformed."""
    message = message_type()
    _Reader(data).read(message, 0, len(data), 0)
    _finish(message)
    return message


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._view = memoryview(data)  # avoids one copy of large texts

    def read(self, message: Message, position: int, end: int, depth: int) -> None:
        """Merge the fields between `position` and `end` into a message `depth` levels deep."""
        if depth > MAX_DEPTH:
            raise ValueError("messages nested too deeply")
        data, view = self._data, self._view
        by_tag = layout_of(type(message)).by_tag
        while position < end:
            start = position
            tag, position = read_varint(data, position, MAX_TAG_BYTES)
            field = by_tag.get(tag)
            if field is None:
                position = skip_field(data, position, end, tag, depth)
                _keep(message, view[start:position])
                continue
            wire_type = tag & 7
            if wire_type == VARINT:
                number, position = read_varint(data, position, MAX_VALUE_BYTES)
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
            raise ValueError("truncated field")

    def _message(self, parent: Any, field: Field, position: int, end: int, depth: int) -> Any:
        message = None if field.is_repeated else getattr(parent, field.name)
        if message is None:
            message = field.make()
        self.read(message, position, end, depth + 1)
        return _finished(message, field) if field.is_repeated else message

    def _add_packed(self, parent: Any, field: Field, position: int, end: int) -> None:
        values = getattr(parent, field.name)
        while position < end:
            if field.wire_type == VARINT:
                number, position = read_varint(self._data, position, MAX_VALUE_BYTES)
                values.append(field.make(number))
            else:
                begin, position = field_end(self._data, position, end, field.wire_type)
                values.append(field.make(self._view[begin:position]))
        if position > end:
            raise ValueError("truncated packed value")

    def _add_entry(self, parent: Any, field: Field, position: int, end: int, depth: int) -> bool:
        """Add an entry to a map. Return False if it has unknown fields, as google.protobuf does."""
        entry = field.make()
        self.read(entry, position, end, depth + 1)
        _finish(entry)
        if entry._unknown_fields:
            return False
        getattr(parent, field.name)[entry.key] = entry.value
        return True


def _keep(message: Any, unknown: memoryview) -> None:
    if not message._unknown_fields:
        message._unknown_fields = bytearray()  # appending to bytes would copy them each time
    message._unknown_fields += unknown


def _finish(message: Message) -> None:
    if message._unknown_fields:
        message._unknown_fields = bytes(message._unknown_fields)
    for field in layout_of(type(message)).messages:
        child = getattr(message, field.name)
        if child is not None:
            setattr(message, field.name, _finished(child, field))


def _finished(message: Any, field: Field) -> Any:
    """Finish a message and return the value for its field."""
    _finish(message)
    if not field.is_wrapped:
        return message
    try:
        return message.to_wrapped()
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{field.name} is out of the range of Python: {error}") from error
