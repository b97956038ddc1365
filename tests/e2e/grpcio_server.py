"""A grpcio chat service for the project's own client to call; a script of its own process.

It prints `listening on HOST:PORT` once it accepts and stops at SIGTERM. The same names are
special as in the Go server: `fail` ends the stream with INVALID_ARGUMENT and an ErrorInfo,
`context` is answered with what came with the call, as JSON, and `trailers` sets trailers and
is answered like any other. Its argument, `gzip` or `deflate`, has it compress its replies.
"""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc
from chat_messages import ChatReq, ChatRsp
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

GRACE_SECONDS = 2.0
Context = grpc.aio.ServicerContext
COMPRESSION = {
    "identity": grpc.Compression.NoCompression,
    "deflate": grpc.Compression.Deflate,
    "gzip": grpc.Compression.Gzip,
}


async def chat(requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
    async for request in requests:
        if request.name == "fail":
            await refuse(request.name, context)
        if request.name == "trailers":
            context.set_trailing_metadata(
                (("chat-trailer", "set"), ("chat-trailer-bin", "設定 \x00".encode()))
            )
        if request.name == "context":
            yield ChatRsp(message=describe(context))
        else:
            yield ChatRsp(message=f"Hello {request.name}")


def describe(context: Context) -> str:
    """Tells of the metadata only what the tests send, which is `x-plain` and `x-name-bin`."""
    metadata = context.invocation_metadata() or ()
    return json.dumps(
        {
            "x-plain": [value for key, value in metadata if key == "x-plain"],
            "x-name-bin": [value.decode() for key, value in metadata if key == "x-name-bin"],
            "deadline": context.time_remaining() is not None,
        }
    )


async def refuse(name: str, context: Context) -> None:
    message = "名字不好 bad name"
    info = error_details_pb2.ErrorInfo(
        reason="BAD_NAME", domain="chatify.example", metadata={"name": name}
    )
    packed = any_pb2.Any()
    packed.Pack(info)
    code = grpc.StatusCode.INVALID_ARGUMENT
    details = status_pb2.Status(code=code.value[0], message=message, details=[packed])
    await context.abort(code, message, (("grpc-status-details-bin", details.SerializeToString()),))


async def main(compression: str = "identity") -> None:
    handler = grpc.stream_stream_rpc_method_handler(
        chat,
        request_deserializer=ChatReq.FromString,
        response_serializer=ChatRsp.SerializeToString,
    )
    server = grpc.aio.server(compression=COMPRESSION[compression])
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("service.v1.Service", {"Chat": handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()

    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    print(f"listening on 127.0.0.1:{port}", flush=True)
    await stopped.wait()
    await server.stop(GRACE_SECONDS)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
