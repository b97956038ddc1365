"""grpc-go, by grpcurl, and grpcio over TLS and mTLS."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from chatify_stream import ChatReq, ChatRsp, ChatServer, TLSOptions

from ..auth.certificates import Authority
from .peers import run_command
from .processes import ServerProcess

CHAT = "/service.v1.Service/Chat"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
async def server(authority: Authority) -> AsyncIterator[ChatServer]:
    """Which takes only clients with a certificate."""
    pair = authority.issue("server")
    tls = TLSOptions(pair.cert, pair.key, client_ca=authority.file, require_client_cert=True)
    async with ChatServer(tls=tls, reflection=True) as server:
        await server.start("127.0.0.1", 0)
        yield server


@pytest.mark.parametrize("has_certificate", [True, False])
async def test_grpcio(server: ChatServer, authority: Authority, has_certificate: bool) -> None:
    """grpcio talks with the server when it has a certificate, and is refused without."""
    ada = authority.issue("ada")
    files = (ada.key.read_bytes(), ada.cert.read_bytes()) if has_certificate else (None, None)
    credentials = grpc.ssl_channel_credentials(authority.file.read_bytes(), *files)
    async with grpc.aio.secure_channel(f"localhost:{server.port}", credentials) as channel:
        chat = channel.stream_stream(
            CHAT, request_serializer=bytes, response_deserializer=ChatRsp.parse
        )
        call = chat(iter([ChatReq(name="ada")]), timeout=60)
        if has_certificate:
            assert [reply.message async for reply in call] == ["Hello ada"]
        else:
            assert await call.code() is grpc.StatusCode.UNAVAILABLE


def test_grpc_go(go_binaries: Path, authority: Authority) -> None:
    """grpcurl, which is grpc-go, likewise."""
    pair, ada = authority.issue("server"), authority.issue("ada")
    with ServerProcess(
        "serve", "--reflection", "--tls-cert", str(pair.cert), "--tls-key", str(pair.key),
        "--tls-client-ca", str(authority.file), "--tls-require-client-cert",
    ) as server:  # fmt: skip
        address = f"localhost:{server.port}"
        for files, is_served in ((["-cert", ada.cert, "-key", ada.key], True), ([], False)):
            done = run_command(
                go_binaries / "grpcurl", "-max-time", "30", "-cacert", authority.file, *files,
                "-d", '{"name": "Ada"}', address, "service.v1.Service/Chat",
            )  # fmt: skip
            assert (done.returncode == 0) is is_served, done.stderr
            assert ("Hello Ada" in done.stdout) is is_served
