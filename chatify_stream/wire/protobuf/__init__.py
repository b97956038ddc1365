"""Protobuf messages: the wire format, a schema of each class, and a strict decoder."""
