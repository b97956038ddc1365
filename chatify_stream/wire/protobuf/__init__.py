"""Protobuf messages: the wire format, the fields of each class, and a strict decoder."""
