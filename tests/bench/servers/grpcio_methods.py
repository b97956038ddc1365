"""What grpcio's two kinds of servers are given alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import grpc

from tests.e2e.chat_messages import ChatReq, ChatRsp

from .arguments import TLS


def method_handlers(methods: Mapping[str, Callable[..., Any]]) -> list[grpc.GenericRpcHandler]:
    """The handlers of methods, by their full paths."""
    handlers = []
    for path, function in methods.items():
        _, service, method = path.split("/")
        handler = grpc.stream_stream_rpc_method_handler(
            function,
            request_deserializer=ChatReq.FromString,
            response_serializer=ChatRsp.SerializeToString,
        )
        handlers.append(grpc.method_handlers_generic_handler(service, {method: handler}))
    return handlers


def credentials(tls: TLS) -> grpc.ServerCredentials:
    return grpc.ssl_server_credentials([(tls.key.read_bytes(), tls.certificate.read_bytes())])
