"""`chatify-stream serve` in a thread of this process, without its log and its signals."""

import asyncio
import os
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import replace
from types import TracebackType
from typing import Self
from unittest import mock

from chatify_stream.assembly import ChatServer
from chatify_stream.cli import main
from chatify_stream.cli.commands.serve import serve
from chatify_stream.cli.options import load_settings
from chatify_stream.cli.serving.run import make_server

__all__ = ["ServerThread"]

SECONDS = 60.0


class ServerThread:
    """A server with the flags of `serve`, on a free port of the loopback interface."""

    host = "127.0.0.1"
    metrics_port = 0

    def __init__(self, *flags: str, env: Mapping[str, str] | None = None) -> None:
        """`env` is added to the environment of the tests."""
        arguments = ["--host", self.host, "--port", "0", *flags]
        parent = main.make_context("chatify-stream", ["serve"])
        parameters = serve.make_context("serve", arguments, parent).params
        with mock.patch.dict(os.environ, env or {}):
            config_file = parameters.pop("config_file")
            settings = load_settings(config_file, parameters).settings
        # A log line about a slow machine would be among those of the command under test.
        self._settings = replace(settings, log=replace(settings.log, stall=None))
        self._started: Future[ChatServer] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self) -> Self:
        self._thread.start()
        server = self._started.result(SECONDS)
        self.port = server.port
        if self._settings.metrics.port is not None:
            self.metrics_port = server.metrics_port
        self.address = f"{self.host}:{self.port}"
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Close the server, and end the thread."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(SECONDS)

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        server = make_server(self._settings)
        try:
            await server.start(self._settings.server.host, self._settings.server.port)
        except BaseException as error:
            self._started.set_exception(error)
            raise
        self._started.set_result(server)
        await self._stopping.wait()
        await server.drain(self._settings.server.grace)
