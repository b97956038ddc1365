"""Tests of the descriptor index of server/services/reflection.py against google.protobuf's pool."""

from __future__ import annotations

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool

from chatify_stream.errors import UsageError
from chatify_stream.server.services.reflection import DescriptorIndex, own_descriptor_set

PROTO2 = descriptor_pb2.FileDescriptorProto(
    name="old.proto",
    package="old",
    syntax="proto2",
    message_type=[
        descriptor_pb2.DescriptorProto(
            name="Base",
            extension_range=[descriptor_pb2.DescriptorProto.ExtensionRange(start=100, end=200)],
            nested_type=[
                descriptor_pb2.DescriptorProto(
                    name="Inner",
                    enum_type=[
                        descriptor_pb2.EnumDescriptorProto(
                            name="Kind",
                            value=[descriptor_pb2.EnumValueDescriptorProto(name="ZERO", number=0)],
                        )
                    ],
                    extension=[
                        descriptor_pb2.FieldDescriptorProto(
                            name="deep", number=101, type=9, label=1, extendee=".old.Base"
                        )
                    ],
                )
            ],
        )
    ],
    extension=[
        descriptor_pb2.FieldDescriptorProto(
            name="top", number=150, type=9, label=1, extendee=".old.Base"
        )
    ],
)


def own_files() -> dict[str, descriptor_pb2.FileDescriptorProto]:
    files = descriptor_pb2.FileDescriptorSet.FromString(own_descriptor_set()).file
    return {file.name: file for file in files}


@pytest.fixture
def index() -> DescriptorIndex:
    old = descriptor_pb2.FileDescriptorSet(file=[PROTO2])
    return DescriptorIndex([own_descriptor_set(), old.SerializeToString()])


def names(found: list[bytes] | None) -> list[str]:
    assert found is not None
    return [descriptor_pb2.FileDescriptorProto.FromString(each).name for each in found]


@pytest.mark.parametrize("name", sorted(own_files()))
def test_files_are_served_as_protoc_wrote_them(index: DescriptorIndex, name: str) -> None:
    """A file is served with the bytes of the set, followed by its imports."""
    found = index.file(name)
    assert found is not None
    assert descriptor_pb2.FileDescriptorProto.FromString(found[0]) == own_files()[name]
    pool = descriptor_pool.DescriptorPool()
    for each in reversed(found):
        pool.AddSerializedFile(each)  # which fails when an import is missing


def test_imports(index: DescriptorIndex) -> None:
    """Imports follow the requested file."""
    assert names(index.file("google/rpc/status.proto")) == [
        "google/rpc/status.proto",
        "google/protobuf/any.proto",
    ]


@pytest.mark.parametrize(
    ("symbol", "file"),
    [
        ("service.v1.Service", "service/v1/service.proto"),
        ("service.v1.Service.Chat", "service/v1/service.proto"),
        ("service.v1.ChatReq", "service/v1/service.proto"),
        ("service.v1.ChatReq.name", "service/v1/service.proto"),
        ("grpc.health.v1.HealthCheckResponse.ServingStatus", "grpc/health/v1/health.proto"),
        ("grpc.health.v1.HealthCheckResponse.SERVING", "grpc/health/v1/health.proto"),
        (
            "grpc.reflection.v1.ServerReflectionRequest.message_request",
            "grpc/reflection/v1/reflection.proto",
        ),
        ("old.Base.Inner.Kind", "old.proto"),
        ("old.Base.Inner.ZERO", "old.proto"),
        ("old.Base.Inner.deep", "old.proto"),
        ("old.top", "old.proto"),
    ],
)
def test_symbols(index: DescriptorIndex, symbol: str, file: str) -> None:
    """Everything with a full name is found by that name."""
    assert names(index.file_of_symbol(symbol))[0] == file


@pytest.mark.parametrize("symbol", ["", "service.v1", "Service", "service.v1.Chat", ".old.Base"])
def test_unknown_symbols(index: DescriptorIndex, symbol: str) -> None:
    """An undeclared name is not found."""
    assert index.file_of_symbol(symbol) is None


def test_extensions(index: DescriptorIndex) -> None:
    """Extensions are found by the message they extend, wherever they are declared."""
    assert index.extension_numbers("old.Base") == [101, 150]
    assert index.extension_numbers("old.Base.Inner") == []
    assert index.extension_numbers("old.Nothing") is None
    assert names(index.file_of_extension("old.Base", 101)) == ["old.proto"]
    assert index.file_of_extension("old.Base", 102) is None
    assert index.file_of_extension("old.Nothing", 101) is None


def test_explicit_zeros_survive(index: DescriptorIndex) -> None:
    """Explicit zeros of proto2, such as enum numbers, are served."""
    found = index.file("old.proto")
    assert found is not None
    assert found[0] == PROTO2.SerializeToString()


def test_what_is_no_descriptor_set() -> None:
    """Invalid bytes raise UsageError, which names the right format."""
    with pytest.raises(UsageError, match="protoc --descriptor_set_out"):
        DescriptorIndex([b"\x0a"])
