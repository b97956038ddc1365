"""Makes the calls that stand as JSON on its standard input, with grpcio, as `go/table` does."""

import base64
import json
import sys
from pathlib import Path
from typing import Any

import grpc

SECONDS = 60


def channel_to(server: dict[str, Any]) -> grpc.Channel:
    if not server["ca"]:
        return grpc.insecure_channel(server["address"])
    read = {
        name: server[name] and Path(server[name]).read_bytes() for name in ("ca", "cert", "key")
    }
    credentials = grpc.ssl_channel_credentials(
        read["ca"], read["key"] or None, read["cert"] or None
    )
    return grpc.secure_channel(server["address"], credentials)


def status_of(channel: grpc.Channel, call: dict[str, Any]) -> str:
    method = channel.stream_stream(call["path"])
    replies = method(
        iter([base64.b64decode(call["request"])]),
        metadata=list(call["metadata"].items()),
        timeout=SECONDS,
    )
    try:
        list(replies)
    except grpc.RpcError as error:
        return str(error.code().name)
    return "OK"


def main() -> None:
    ended = []
    for server in json.load(sys.stdin):
        with channel_to(server) as channel:
            ended.append([status_of(channel, call) for call in server["calls"]])
    json.dump(ended, sys.stdout)


if __name__ == "__main__":
    main()
