"""grpc-js clients of our server."""

import pytest

from .client_contract import MEGABYTE, ClientContract
from .peers import PeerClient
from .processes import ServerProcess


@pytest.fixture
def client(node_client: PeerClient) -> PeerClient:
    return node_client


class TestGrpcJs(ClientContract):
    """The contract of every client, kept to grpc-js."""


@pytest.mark.parametrize("compressor", ["gzip", "deflate"])
@pytest.mark.parametrize("mode", ["burst", "unary"])
def test_compression(
    node_client: PeerClient, server: ServerProcess, mode: str, compressor: str
) -> None:
    """A client that compresses is understood, and understands the answer."""
    report = node_client.run(
        mode, server.address, "--size", str(MEGABYTE), "--compressor", compressor
    )
    assert (report.replies, report.code) == (["Hello " + "x" * MEGABYTE], "OK")
