"""The processes the end-to-end tests share, each started or built once a session."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from . import peers
from .processes import ServerProcess

pytest.register_assert_rewrite(f"{__package__}.client_contract")


@pytest.fixture(scope="session")
def server() -> Iterator[ServerProcess]:
    """Our server as it is without any option."""
    with ServerProcess("serve") as process:
        yield process


@pytest.fixture(scope="session")
def reflecting_server() -> Iterator[ServerProcess]:
    """Our server with reflection switched on."""
    with ServerProcess("serve", "--reflection") as process:
        yield process


@pytest.fixture
def own_server() -> Iterator[ServerProcess]:
    """A server of the test's own, to be stopped under its clients."""
    with ServerProcess("serve") as process:
        yield process


@pytest.fixture(scope="session")
def go_binaries() -> Path:
    return peers.build_go_peers()


@pytest.fixture(scope="session")
def go_client(go_binaries: Path) -> peers.PeerClient:
    return peers.go_client(go_binaries)


@pytest.fixture(scope="session")
def node_client() -> peers.PeerClient:
    return peers.build_node_client()
