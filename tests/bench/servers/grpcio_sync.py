"""The same services on grpcio's server of threads, which takes one for each open call."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from tests.e2e.chat_messages import ChatReq, ChatRsp

from .arguments import CHAT, FANOUT, GREETING, parse_arguments, say_listening
from .grpcio_methods import credentials, method_handlers

MOST_CALLS = 6000
"""Threads are started as they are needed."""

Outbox = queue.SimpleQueue[Any]
"""What waits for one member; None ends its call."""


def echo(requests: Iterator[ChatReq], context: grpc.ServicerContext) -> Iterator[ChatRsp]:
    for request in requests:
        yield ChatRsp(message=f"Hello {request.name}")


class Fanout:
    def __init__(self) -> None:
        self._outboxes: set[Outbox] = set()
        self._lock = threading.Lock()

    def chat(self, requests: Iterator[ChatReq], context: grpc.ServicerContext) -> Iterator[ChatRsp]:
        outbox: Outbox = queue.SimpleQueue()
        outbox.put(ChatRsp(message=GREETING))
        with self._lock:
            self._outboxes.add(outbox)
        threading.Thread(target=self._publish_all, args=(requests, outbox), daemon=True).start()
        while (reply := outbox.get()) is not None:
            yield reply

    def _publish_all(self, requests: Iterator[ChatReq], own: Outbox) -> None:
        try:
            for request in requests:
                reply = ChatRsp(message=request.name)
                with self._lock:
                    for outbox in self._outboxes:
                        outbox.put(reply)
        except grpc.RpcError:
            pass  # the member has left
        finally:
            with self._lock:
                self._outboxes.discard(own)
            own.put(None)


def main() -> None:
    server = grpc.server(ThreadPoolExecutor(MOST_CALLS))
    server.add_generic_rpc_handlers(method_handlers({CHAT: echo, FANOUT: Fanout().chat}))
    if tls := parse_arguments().tls:
        port = server.add_secure_port("127.0.0.1:0", credentials(tls))
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    say_listening(port)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
