"""`chatify-stream top`."""

import io
import os
import re
import signal
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from click.testing import CliRunner
from rich.console import Console

from chatify_stream.cli import main
from chatify_stream.cli.commands.top import _Metrics, view

from ...e2e.processes import Process
from ...ports import free_port
from ..command_line import COMMAND, invoke, run_without
from ..server_thread import ServerThread

SECONDS = 60.0


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The metrics of a server."""
    with ServerThread("--metrics-port", "0") as server:
        yield f"http://127.0.0.1:{server.metrics_port}/metrics"


class Answering(BaseHTTPRequestHandler):
    """Responds with the answer of its server."""

    def do_GET(self) -> None:
        status, body = self.server.answer  # type: ignore[attr-defined]
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def http() -> Iterator[HTTPServer]:
    with HTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def url_of(server: HTTPServer) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}/metrics"


def test_once(url: str) -> None:
    """The figures of a real server, with rates, in less than 80 columns."""
    done = invoke("top", "--metrics", url, "--once", "--interval", "0.2")
    assert (done.status, done.stderr) == (0, "")
    first, *rest = done.stdout.splitlines()
    assert first.startswith("chatify-stream ")
    assert first.endswith(url)
    names = [re.split(r"  +", line)[0] for line in rest]
    assert {"connections", "rooms", "messages received", "event loop lag"} <= set(names)
    assert {"sessions, direct", "sessions, room"} <= set(names)
    assert any(line.endswith("/s") for line in rest)
    assert max(map(len, done.stdout.splitlines())) < 80


@pytest.mark.process
def test_into_a_pipe(url: str) -> None:
    """To a pipe, updates are appended until Ctrl-C, which gives status 130."""
    with Process(*COMMAND, "top", "--metrics", url, "--interval", "0.1") as process:
        titles = 0
        while titles < 3:
            line = process.read_line(SECONDS)
            assert line is not None
            titles += line.startswith("chatify-stream ")
        os.kill(process.pid, signal.SIGINT)
        assert process.wait() == 130
        assert process.stderr() == ""


def test_it_is_away_and_comes_back(http: HTTPServer) -> None:
    """While the server is away, the last figures and the reason are shown."""
    metrics = _Metrics(url_of(http))
    http.answer = 200, b"chatify_rooms 3\n"  # type: ignore[attr-defined]
    metrics.update()
    http.answer = 503, b""  # type: ignore[attr-defined]
    metrics.update()
    assert metrics.lines()[1] == "not a metrics endpoint (HTTP status 503)"
    assert any(figure[:2] == ("rooms", "3") for figure in metrics.figures)
    http.answer = 200, b"chatify_rooms 4\n"  # type: ignore[attr-defined]
    metrics.update()
    assert metrics.trouble == ""
    assert any(figure[:2] == ("rooms", "4") for figure in metrics.figures)


@pytest.mark.parametrize("body", [b"<html>", b"\xff", b"chatify_rooms three\n"])
def test_something_else_is_there(http: HTTPServer, body: bytes) -> None:
    """A response without metrics is reported as such."""
    http.answer = 200, body  # type: ignore[attr-defined]
    metrics = _Metrics(url_of(http))
    metrics.update()
    assert metrics.trouble == "the response does not contain Prometheus metrics"


def test_once_and_away() -> None:
    """With --once and without a server, the status is 4 and the reason is printed."""
    url = f"http://127.0.0.1:{free_port()}/metrics"
    done = invoke("top", "--metrics", url, "--once")
    assert (done.status, done.stdout) == (4, "")
    assert done.stderr == f"Error: {url}: cannot be reached: Connection refused\n"


def test_the_view(http: HTTPServer) -> None:
    """The view fits 80 columns, and text from others is escaped."""
    http.answer = 200, b'chatify_limit_hits_total{limit="a\x1b[2J"} 3\nchatify_rooms 3\n'  # type: ignore[attr-defined]
    metrics = _Metrics(url_of(http))
    metrics.update()
    console = Console(width=80, height=40, force_terminal=False, record=True, file=io.StringIO())
    console.print(view(metrics))
    http.answer = 500, b""  # type: ignore[attr-defined]
    metrics.update()
    console.print(view(metrics))
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text
    assert re.search(r"rooms +3", text)
    assert "not a metrics endpoint (HTTP status 500); retrying" in text


@pytest.mark.process
def test_without_the_extra() -> None:
    """Without the extra, the error says what to install."""
    done = run_without("prometheus_client", "top", "--once")
    assert done.status == 2
    assert "pip install 'chatify-stream[metrics]'" in done.stderr


def test_no_url(runner: CliRunner) -> None:
    """Only HTTP URLs are accepted."""
    result = runner.invoke(main, ["top", "--metrics", "file:///etc/passwd"])
    assert result.exit_code == 2
    assert "is not allowed; use a URL such as" in result.output
