"""Tests of the HTTP pages in wire/server/calls.py."""

from __future__ import annotations

import logging

import pytest
from h2.errors import ErrorCodes
from h2.events import ResponseReceived, StreamEnded
from hpack import Encoder

from chatify_stream.wire import Limits, Page, Server
from chatify_stream.wire.server.calls import find_page

from ...support.frames import END_HEADERS, END_STREAM, HEADERS, RST_STREAM, SETTINGS
from ..raw import RawClient, frame, frame_client, raw_client, request_headers
from ..services import Echo

NO_WINDOW = frame(SETTINGS, 0, 0, (4).to_bytes(2, "big") + bytes(4))

PAGES = {"/ok": lambda: Page("good\n"), "/sad": lambda: Page("schlecht 不好\n", 503)}


@pytest.mark.parametrize(
    ("method", "path", "found"),
    [
        ("GET", "/ok", (Page("good\n"), True)),
        ("GET", "/ok?now=1", (Page("good\n"), True)),
        ("HEAD", "/sad", (Page("schlecht 不好\n", 503), False)),
        ("GET", "/ok/", None),
        ("POST", "/ok", None),
        ("GET", "/test.Echo/Echo", None),
    ],
)
def test_what_is_a_page(method: str, path: str, found: tuple[Page, bool] | None) -> None:
    """GET and HEAD find a page by its path. Other requests are gRPC calls."""
    assert find_page(request_headers(path, __method=method), PAGES) == found


async def get(client: RawClient, stream_id: int, method: str, path: str) -> tuple[dict, bytes]:
    client.h2.send_headers(stream_id, request_headers(path, __method=method), end_stream=True)
    client.flush()
    response = await client.wait_for(ResponseReceived, stream_id)
    await client.wait_for(StreamEnded, stream_id)
    return dict(response.headers), client.data_of(stream_id)


async def test_pages_beside_calls() -> None:
    """A GET is answered on the same connection as calls."""
    server = Server([Echo()], pages=PAGES)
    await server.start("127.0.0.1", 0)
    async with raw_client(server.port) as client:
        headers, body = await get(client, 1, "GET", "/ok")
        assert (headers[":status"], headers["content-type"]) == ("200", "text/plain; charset=utf-8")
        assert (headers["content-length"], body) == ("5", b"good\n")
        headers, body = await get(client, 3, "GET", "/sad")
        assert (headers[":status"], body.decode()) == ("503", "schlecht 不好\n")
        headers, body = await get(client, 5, "HEAD", "/ok")
        assert (headers[":status"], headers["content-length"], body) == ("200", "5", b"")
        headers, _ = await get(client, 7, "GET", "/none")
        assert headers[":status"] == "405"
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize("window", [0, 1])
async def test_a_client_that_does_not_read(window: int, caplog: pytest.LogCaptureFixture) -> None:
    """A reset page is cancelled without a log line."""
    server = Server([Echo()], pages=PAGES, limits=Limits(write_timeout=0.05))
    await server.start("127.0.0.1", 0)
    get = Encoder().encode(request_headers("/ok", __method="GET"))
    async with frame_client(server.port) as client:
        client.send(frame(SETTINGS, 0, 0, (4).to_bytes(2, "big") + window.to_bytes(4, "big")))
        client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, get))
        reset = await client.wait_for(RST_STREAM, 1)
        assert int.from_bytes(reset, "big") == ErrorCodes.ENHANCE_YOUR_CALM
    server.close()
    await server.wait_closed()
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
