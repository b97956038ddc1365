"""`grpc.reflection.v1` and `v1alpha`: describes the services to tools such as grpcurl.

`DescriptorIndex` finds the definitions in FileDescriptorSets, which
`protoc --descriptor_set_out --include_imports` writes.

Protocol: https://github.com/grpc/grpc/blob/master/doc/server-reflection.md
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from importlib.resources import files
from typing import Any

import betterproto2

from ...errors import UsageError
from ...messages.google import protobuf
from ...messages.grpc.reflection import v1, v1alpha
from ...wire import Status


def reflection_services(services: Sequence[str], index: DescriptorIndex) -> list[Any]:
    """Return both versions of the service. They list the names in `services`."""
    return [_ReflectionV1(services, index), _ReflectionV1Alpha(services, index)]


class _Reflection:
    """Answers requests. The two versions differ only in the package of their messages."""

    api: Any

    def __init__(self, services: Sequence[str], index: DescriptorIndex) -> None:
        self._services = services
        self._index = index

    async def server_reflection_info(self, messages: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for request in messages:
            yield self._answer(request)

    def _answer(self, request: Any) -> Any:
        api = self.api
        asked: Any
        kind, asked = betterproto2.which_one_of(request, "message_request")
        match kind:
            case "file_by_filename":
                answer = self._files(self._index.file(asked), f"file {asked!r}")
            case "file_containing_symbol":
                answer = self._files(self._index.file_of_symbol(asked), f"symbol {asked!r}")
            case "file_containing_extension":
                found = self._index.file_of_extension(asked.containing_type, asked.extension_number)
                name = f"extension {asked.extension_number} of {asked.containing_type!r}"
                answer = self._files(found, name)
            case "all_extension_numbers_of_type":
                numbers = self._index.extension_numbers(asked)
                if numbers is None:
                    answer = self._not_found(f"message {asked!r}")
                else:
                    numbered = api.ExtensionNumberResponse(
                        base_type_name=asked, extension_number=numbers
                    )
                    answer = {"all_extension_numbers_response": numbered}
            case "list_services":
                listed = [api.ServiceResponse(name=name) for name in self._services]
                answer = {"list_services_response": api.ListServiceResponse(service=listed)}
            case _:
                answer = self._error(
                    Status.INVALID_ARGUMENT,
                    "unknown kind of request; send one that the protocol defines",
                )
        return api.ServerReflectionResponse(
            valid_host=request.host, original_request=request, **answer
        )

    def _files(self, found: list[bytes] | None, name: str) -> dict[str, Any]:
        if found is None:
            return self._not_found(name)
        response = self.api.FileDescriptorResponse(file_descriptor_proto=found)
        return {"file_descriptor_response": response}

    def _not_found(self, name: str) -> dict[str, Any]:
        return self._error(Status.NOT_FOUND, f"this server has no definition of the {name}")

    def _error(self, status: Status, message: str) -> dict[str, Any]:
        error = self.api.ErrorResponse(error_code=status.value, error_message=message)
        return {"error_response": error}


class _ReflectionV1(_Reflection, v1.ServerReflectionBase):
    api = v1


class _ReflectionV1Alpha(_Reflection, v1alpha.ServerReflectionBase):
    api = v1alpha


def own_descriptor_set() -> bytes:
    return files("chatify_stream.messages").joinpath("descriptors.binpb").read_bytes()


class DescriptorIndex:
    """Finds .proto files by file name, by a full name that they declare, and by extension."""

    def __init__(self, descriptor_sets: Iterable[bytes]) -> None:
        """Index the files; of several with the same name, the first counts."""
        self._files: dict[str, bytes] = {}
        self._imports: dict[str, list[str]] = {}
        self._file_of_symbol: dict[str, str] = {}
        self._file_of_extension: dict[str, dict[int, str]] = {}
        for data in descriptor_sets:
            for serialised, file in _parse(data):
                if file.name not in self._files:
                    self._files[file.name] = serialised
                    self._add(file)

    def file(self, name: str) -> list[bytes] | None:
        """Return the serialised file, then all files that it imports; None if it is unknown."""
        if name not in self._files:
            return None
        names = [name]
        for each in names:  # the list grows during the loop
            names += [
                imported
                for imported in self._imports[each]
                if imported in self._files and imported not in names
            ]
        return [self._files[each] for each in names]

    def file_of_symbol(self, symbol: str) -> list[bytes] | None:
        """Return as `file` does the file that declares this full name."""
        return self.file(self._file_of_symbol.get(symbol, ""))

    def file_of_extension(self, extendee: str, number: int) -> list[bytes] | None:
        """Return as `file` does the file that declares this extension of `extendee`."""
        return self.file(self._file_of_extension.get(extendee, {}).get(number, ""))

    def extension_numbers(self, message: str) -> list[int] | None:
        """Return the sorted numbers of all extensions of a message; None if it is unknown."""
        if message not in self._file_of_symbol:
            return None
        return sorted(self._file_of_extension.get(message, {}))

    def _add(self, file: protobuf.FileDescriptorProto) -> None:
        self._imports[file.name] = list(file.dependency)
        for symbol in _symbols(file):
            self._file_of_symbol.setdefault(symbol, file.name)
        for extension in _extensions(file.extension, file.message_type):
            extendee = extension.extendee.removeprefix(".")
            self._file_of_extension.setdefault(extendee, {})[extension.number] = file.name


def _parse(data: bytes) -> list[tuple[bytes, protobuf.FileDescriptorProto]]:
    try:
        # A FileDescriptorSet has the shape of this response: its field 1, repeated, is the files.
        # Their bytes are served as they came, since betterproto2 writes proto2 messages without
        # their explicit zeros.
        files = v1.FileDescriptorResponse.parse(data).file_descriptor_proto
        return [(file, protobuf.FileDescriptorProto.parse(file)) for file in files]
    except Exception as error:  # betterproto2 has no error class of its own
        raise UsageError(
            f"not a FileDescriptorSet, as protoc --descriptor_set_out writes it: {error}"
        ) from error


def _symbols(file: protobuf.FileDescriptorProto) -> Iterator[str]:
    scope = f"{file.package}." if file.package else ""
    yield from _symbols_in(scope, file.message_type, file.enum_type, file.extension)
    for service in file.service:
        yield scope + service.name
        for method in service.method:
            yield f"{scope}{service.name}.{method.name}"


def _symbols_in(
    scope: str,
    messages: Iterable[protobuf.DescriptorProto],
    enums: Iterable[protobuf.EnumDescriptorProto],
    fields: Iterable[protobuf.FieldDescriptorProto],
) -> Iterator[str]:
    for field in fields:
        yield scope + field.name
    for enum in enums:
        yield scope + enum.name
        for value in enum.value:
            yield scope + value.name  # in protobuf, values are siblings of their enum
    for message in messages:
        yield scope + message.name
        inner = f"{scope}{message.name}."
        for oneof in message.oneof_decl:
            yield inner + oneof.name
        fields = (*message.field, *message.extension)
        yield from _symbols_in(inner, message.nested_type, message.enum_type, fields)


def _extensions(
    extensions: Iterable[protobuf.FieldDescriptorProto],
    messages: Iterable[protobuf.DescriptorProto],
) -> Iterator[protobuf.FieldDescriptorProto]:
    yield from extensions
    for message in messages:
        yield from _extensions(message.extension, message.nested_type)
