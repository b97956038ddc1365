"""grpc-go clients of our server."""

import pytest

from .client_contract import MEGABYTE, REPLIES, ClientContract
from .peers import PeerClient
from .processes import ServerProcess


@pytest.fixture
def client(go_client: PeerClient) -> PeerClient:
    return go_client


class TestGrpcGo(ClientContract):
    """The contract of every client, kept to grpc-go."""


def test_original_client(go_client: PeerClient, server: ServerProcess) -> None:
    """The first version's own client, which pauses between messages, gets its five replies."""
    report = go_client.run("original", server.address, "--interval-ms", "20")
    assert (report.replies, report.code) == (REPLIES, "OK")


def test_parallel_streams(go_client: PeerClient, server: ServerProcess) -> None:
    """200 streams open at once over 4 connections each get their own replies."""
    report = go_client.run(
        "parallel", server.address, "--streams", "200", "--connections", "4", "--count", "10"
    )
    assert (report.code, report.message) == ("OK", "")
    assert report.events[0] == {"event": "streams", "count": 200, "replies": 2000}


def test_health_list(go_client: PeerClient, server: ServerProcess) -> None:
    """The health service lists the server as a whole and the chat service."""
    report = go_client.run("list", server.address)
    assert report.code == "OK"
    assert report.health[""] == "SERVING"
    assert report.health["service.v1.Service"] == "SERVING"


def test_gzip(go_client: PeerClient, server: ServerProcess) -> None:
    """A client that compresses is understood, and answered in kind."""
    report = go_client.run("unary", server.address, "--size", str(MEGABYTE), "--compressor", "gzip")
    assert (report.replies, report.code) == (["Hello " + "x" * MEGABYTE], "OK")
    payloads = {event["event"]: event for event in report.events}
    for way in ("sent", "received"):
        assert payloads[way]["length"] > MEGABYTE
        assert payloads[way]["onWire"] < MEGABYTE / 100


def test_gzip_of_many_messages(go_client: PeerClient, server: ServerProcess) -> None:
    """Many compressed messages on one stream, which are longer for it, are answered in order."""
    report = go_client.run("burst", server.address, "--count", "1000", "--compressor", "gzip")
    assert report.replies == [f"Hello Message {number}" for number in range(1000)]
    assert report.code == "OK"
