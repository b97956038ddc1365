"""Message classes of betterproto2 and google.protobuf for the same .proto files."""

from __future__ import annotations

import dataclasses
import datetime
import importlib
import importlib.util
import sys
import tempfile
from collections.abc import Container, Iterable, Iterator
from functools import cache
from importlib import resources
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from betterproto2 import Enum, FieldMetadata, Message, MessagePool
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    Edition,
    FeatureSet,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.empty_pb2 import Empty
from google.protobuf.internal.wire_format import WIRETYPE_LENGTH_DELIMITED, WIRETYPE_START_GROUP
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.unknown_fields import UnknownFieldSet
from grpc_tools import protoc

from ..tiers import GUARD, Tier

__all__ = ["SOURCES", "Pair", "assert_same", "every_kind", "pairs_of"]

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
DESCRIPTOR = "google/protobuf/descriptor.proto"
USED_BY_EVERY_KIND = [
    f"google/protobuf/{name}.proto" for name in ("duration", "struct", "timestamp", "wrappers")
]
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


class Pair(NamedTuple):
    """The classes of one message in both libraries."""

    ours: type[Message]
    theirs: type[Any]


class Source(NamedTuple):
    """Proto files in a folder and the package of their classes."""

    folder: Path
    files: list[str]
    package: str


SOURCES = {
    "chat": Source(
        ROOT / "proto",
        [
            "service/v1/service.proto",
            "chatify/rooms/v1/rooms.proto",
            "grpc/health/v1/health.proto",
            "grpc/reflection/v1/reflection.proto",
            "grpc/reflection/v1alpha/reflection.proto",
            "google/rpc/status.proto",
        ],
        "chatify_stream.messages",
    ),
    "descriptors": Source(
        ROOT / "proto", ["google/protobuf/any.proto", DESCRIPTOR], "chatify_stream.messages"
    ),
    "interop": Source(
        ROOT / "tests/interop/proto",
        [
            "grpc/testing/empty.proto",
            "grpc/testing/messages.proto",
            "xds/data/orca/v3/orca_load_report.proto",
        ],
        "tests.interop.messages",
    ),
    "every kind": Source(HERE, ["every_kind.proto", *USED_BY_EVERY_KIND], "every_kind_messages"),
}


@cache
def every_kind() -> ModuleType:
    """Generate and import the classes of every_kind.proto."""
    path = ROOT / "proto" / "generate.py"
    spec = importlib.util.spec_from_file_location("generate", path)
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    folder, files, package = SOURCES["every kind"]
    # The generator starts processes, for whichever test comes first.
    with GUARD.watch(Tier.PROCESS), tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / package
        target.mkdir()
        generate.generate_classes(folder, files, target, "")
        sys.path.insert(0, scratch)
        try:
            return importlib.import_module(f"{package}.test.every_kind")
        finally:
            sys.path.remove(scratch)


@cache
def pairs_of(name: str) -> dict[str, Pair]:
    """Return all messages of one of the SOURCES by their full names."""
    if name == "every kind":
        every_kind()
    folder, files, package = SOURCES[name]
    for file in files:
        if "/" in file:  # the module has the name of the folder
            importlib.import_module(".".join([package, *Path(file).parts[:-1]]))
    messages: MessagePool = importlib.import_module(f"{package}.message_pool").default_message_pool
    pool = DescriptorPool()
    for each in _compiled(folder, files):
        pool.Add(each)
    found = {}
    for file in files:
        top = pool.FindFileByName(file).message_types_by_name.values()
        for descriptor in _with_nested(top):
            ours = messages.url_to_type[f"type.googleapis.com/{descriptor.full_name}"]
            found[descriptor.full_name] = Pair(ours, GetMessageClass(descriptor))
    return found


def _compiled(folder: Path, files: list[str]) -> list[FileDescriptorProto]:
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch) / "descriptors"
        well_known = resources.files("grpc_tools") / "_proto"
        arguments = [f"--proto_path={folder}", f"--proto_path={well_known}", "--include_imports"]
        exit_code = protoc.main(["", *arguments, f"--descriptor_set_out={output}", *files])
        assert exit_code == 0
        found = list(FileDescriptorSet.FromString(output.read_bytes()).file)
    for file in found:
        if file.name == DESCRIPTOR:
            _check_texts_in(file)
    return found


def _check_texts_in(file: FileDescriptorProto) -> None:
    """Make a proto2 file check UTF-8 in texts, as betterproto2 does for all messages."""
    file.syntax, file.edition = "editions", Edition.EDITION_2023
    features = file.options.features
    features.enum_type = FeatureSet.CLOSED
    features.utf8_validation = FeatureSet.VERIFY
    features.repeated_field_encoding = FeatureSet.EXPANDED
    for field in _fields_in(file.message_type):
        field.options.ClearField("packed")
        if field.label == FieldDescriptorProto.LABEL_REQUIRED:
            field.label = FieldDescriptorProto.LABEL_OPTIONAL


def _fields_in(messages: Iterable[DescriptorProto]) -> Iterator[FieldDescriptorProto]:
    for message in messages:
        yield from message.field
        yield from _fields_in(message.nested_type)


def _with_nested(descriptors: Iterable[Descriptor]) -> Iterator[Descriptor]:
    for descriptor in descriptors:
        if not descriptor.GetOptions().map_entry:
            yield descriptor
            yield from _with_nested(descriptor.nested_types)


def assert_same(ours: Message, theirs: Any) -> None:
    """Assert that the known and unknown fields of both messages are equal."""
    metas = {meta.number: (name, meta) for name, meta in _metas_of(ours)}
    is_proto2 = theirs.DESCRIPTOR.file.name == DESCRIPTOR
    for field in theirs.DESCRIPTOR.fields:
        name, meta = metas[field.number]
        value, expected = getattr(ours, name), getattr(theirs, field.name)
        if meta.map_meta:
            assert [*map(repr, sorted(value))] == [*map(repr, sorted(expected))]
            content = field.message_type.fields_by_name["value"]
            for key in value:
                _assert_same_value(value[key], expected[key], content, meta.map_meta[1])
        elif field.is_repeated:
            known = [each for each in value if not _is_closed_to(field, each)]
            for each, its in zip(known, expected, strict=True):
                _assert_same_value(each, its, field, meta)
        elif _is_closed_to(field, value):
            assert is_proto2
        elif field.has_presence and not theirs.HasField(field.name):
            # betterproto2 does not distinguish missing and zero values in proto2.
            assert value is None or (is_proto2 and not value)
        else:
            _assert_same_value(value, expected, field, meta)
    if not is_proto2:
        # google.protobuf encodes unknown map entries again, perhaps differently.
        maps = {number for number, (_, meta) in metas.items() if meta.map_meta}
        unknown = UnknownFieldSet(Empty.FromString(ours._unknown_fields))
        assert _plain(unknown, maps) == _plain(UnknownFieldSet(theirs), maps)


def _metas_of(message: Message) -> Iterator[tuple[str, FieldMetadata]]:
    for field in dataclasses.fields(message):
        yield field.name, FieldMetadata.get(field)


def _is_closed_to(field: FieldDescriptor, value: Any) -> bool:
    """Return True for an enum value that google.protobuf treats as an unknown field."""
    enum = field.enum_type
    return enum is not None and enum.is_closed and value not in enum.values_by_number


def _assert_same_value(ours: Any, theirs: Any, field: FieldDescriptor, meta: FieldMetadata) -> None:
    if field.enum_type:
        assert isinstance(ours, Enum)
        assert int(ours) == theirs
    elif not field.message_type:
        # repr distinguishes 0.0 and -0.0, and True and 1.
        assert repr(ours) == repr(theirs)
    elif meta.unwrap:
        assert repr(ours) == repr(_unwrapped(theirs))
    else:
        assert_same(ours, theirs)


def _unwrapped(message: Any) -> Any:
    """Return the value that betterproto2 uses for a well-known type."""
    name = message.DESCRIPTOR.name
    if name == "Timestamp":
        passed = datetime.timedelta(seconds=message.seconds, microseconds=message.nanos // 1000)
        return EPOCH + passed
    if name == "Duration":
        return datetime.timedelta(seconds=message.seconds, microseconds=message.nanos / 1000)
    return message.value


def _plain(fields: UnknownFieldSet, maps: Container[int] = ()) -> list[tuple[Any, ...]]:
    return [
        (
            each.field_number,
            each.wire_type,
            (each.wire_type == WIRETYPE_LENGTH_DELIMITED and each.field_number in maps)
            or (_plain(each.data) if each.wire_type == WIRETYPE_START_GROUP else each.data),
        )
        for each in fields
    ]
