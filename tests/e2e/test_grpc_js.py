"""grpc-js clients of our server."""

import pytest

from .client_contract import ClientContract
from .peers import PeerClient


@pytest.fixture
def client(node_client: PeerClient) -> PeerClient:
    return node_client


class TestGrpcJs(ClientContract):
    """The contract of every client, kept to grpc-js."""
