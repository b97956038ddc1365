"""`grpc.reflection.v1` and `v1alpha`: describes the services to tools such as grpcurl.

Protocol: https://github.com/grpc/grpc/blob/master/doc/server-reflection.md
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import betterproto2

from ...messages.grpc.reflection import v1, v1alpha
from ...wire import Status
from .descriptors import DescriptorIndex

__all__ = ["reflection_services"]


def reflection_services(services: Sequence[str], index: DescriptorIndex) -> list[Any]:
    """Return both versions of the service. They list the names in `services`."""
    return [_ReflectionV1(services, index), _ReflectionV1Alpha(services, index)]


class _ReflectionV1(v1.ServerReflectionBase):
    def __init__(self, services: Sequence[str], index: DescriptorIndex) -> None:
        self._answers = _Answers(v1, services, index)

    async def server_reflection_info(
        self, messages: AsyncIterator[v1.ServerReflectionRequest]
    ) -> AsyncIterator[v1.ServerReflectionResponse]:
        async for request in messages:
            yield self._answers.answer(request)


class _ReflectionV1Alpha(v1alpha.ServerReflectionBase):
    def __init__(self, services: Sequence[str], index: DescriptorIndex) -> None:
        self._answers = _Answers(v1alpha, services, index)

    async def server_reflection_info(
        self, messages: AsyncIterator[v1alpha.ServerReflectionRequest]
    ) -> AsyncIterator[v1alpha.ServerReflectionResponse]:
        async for request in messages:
            yield self._answers.answer(request)


class _Answers:
    """Answers requests. The two versions differ only in the package of their messages."""

    def __init__(self, api: Any, services: Sequence[str], index: DescriptorIndex) -> None:
        self._api = api
        self._services = services
        self._index = index

    def answer(self, request: Any) -> Any:
        api = self._api
        asked: Any
        kind, asked = betterproto2.which_one_of(request, "message_request")
        answer: dict[str, Any]
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
                    answer = {
                        "all_extension_numbers_response": api.ExtensionNumberResponse(
                            base_type_name=asked, extension_number=numbers
                        )
                    }
            case "list_services":
                answer = {
                    "list_services_response": api.ListServiceResponse(
                        service=[api.ServiceResponse(name=name) for name in self._services]
                    )
                }
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
        return {
            "file_descriptor_response": self._api.FileDescriptorResponse(
                file_descriptor_proto=found
            )
        }

    def _not_found(self, name: str) -> dict[str, Any]:
        return self._error(Status.NOT_FOUND, f"this server has no definition of the {name}")

    def _error(self, status: Status, message: str) -> dict[str, Any]:
        return {
            "error_response": self._api.ErrorResponse(
                error_code=status.value, error_message=message
            )
        }
