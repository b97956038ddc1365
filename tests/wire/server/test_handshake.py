"""Tests of wire/server/handshake.py and wire/tls/transport.py, on real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from chatify_stream.errors import UnavailableError
from chatify_stream.wire import (
    Cardinality,
    Channel,
    ClientTLS,
    Limits,
    Server,
    ServerStream,
    client_tls,
)
from chatify_stream.wire.server.handshake import ListenerConfig, Network

from ...auth.certificates import Authority
from ..raw import GREETING, frames_in
from ..services import Answer, Ask, Echo

HEADER = b"PROXY TCP4 192.0.2.7 192.0.2.1 51000 443\r\n"
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
ELSEWHERE = (ipaddress.ip_network("10.0.0.0/8"),)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def server_tls(authority: Authority) -> ssl.SSLContext:
    return authority.server_context(asks_clients=True)


@pytest.fixture(scope="module")
def tls(authority: Authority) -> ClientTLS:
    return client_tls(ca=authority.file)


@asynccontextmanager
async def serving(
    context: ssl.SSLContext | None = None,
    *,
    proxies: tuple[Network, ...] | None = None,
    limits: Limits | None = None,
    handler: Callable[[ServerStream], Awaitable[None]] | None = None,
) -> AsyncIterator[Server]:
    server = Server([Echo() if handler is None else Echo(handler)], limits=limits)
    ssl_option = None if context is None else (lambda: context)
    await server.start("127.0.0.1", 0, ssl=ssl_option, proxies=proxies)
    try:
        yield server
    finally:
        server.close()
        await server.wait_closed()


async def tell_peer(stream: ServerStream) -> None:
    await stream.recv_message()
    await stream.send_message(Answer(name=repr(stream.peer.addr())))


async def ask(channel: Channel, text: str = "a", path: str = "/test.Echo/Echo") -> str:
    async with asyncio.timeout(30):
        async with channel.request(path, Cardinality.STREAM_STREAM, Ask, Answer) as stream:
            await stream.send_message(Ask(service=text), end=True)
            answer = await stream.recv_message()
    assert answer is not None
    return answer.name


@asynccontextmanager
async def proxy(port: int, header: bytes) -> AsyncIterator[int]:
    """Forward connections, each with a header first."""
    tasks = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        tasks.add(task)
        there, to_there = await asyncio.open_connection("127.0.0.1", port)
        to_there.write(header)
        try:
            await asyncio.gather(pump(reader, to_there), pump(there, writer))
        finally:
            to_there.transport.abort()
            writer.transport.abort()
            tasks.discard(task)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # lets the aborted transports close their sockets


async def reply_to(port: int, data: bytes, *, end: bool = False) -> bytes:
    """Return everything the server sends in reply to `data`, until it closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    if end:
        writer.write_eof()
    async with asyncio.timeout(30):
        try:
            received = await reader.read()
        except ConnectionResetError:
            received = b"reset"
    writer.close()
    return received


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.startswith("chatify")]


async def test_a_large_message(server_tls: ssl.SSLContext, tls: ClientTLS) -> None:
    """A message of many TLS records is transferred intact both ways."""
    async with serving(server_tls) as server:
        async with Channel("127.0.0.1", server.port, ssl=tls) as channel:
            text = "abc" * 300_000
            assert await ask(channel, text) == text


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_client_certificates(
    authority: Authority, server_tls: ssl.SSLContext, version: ssl.TLSVersion
) -> None:
    """A handler sees the certificate of its client, if there is one."""

    async def tell(stream: ServerStream) -> None:
        await stream.recv_message()
        certificate = stream.peer.cert() or {}
        subject = [value for part in certificate.get("subject", ()) for _, value in part]
        await stream.send_message(Answer(name=repr(subject)))

    ada = authority.issue("ada")
    async with serving(server_tls, handler=tell) as server:
        for with_certificate, subject in ((True, "['ada']"), (False, "[]")):
            files = {"cert": ada.cert, "key": ada.key} if with_certificate else {}
            tls = client_tls(ca=authority.file, **files)
            tls.context.maximum_version = version
            async with Channel("127.0.0.1", server.port, ssl=tls) as channel:
                assert await ask(channel, path="/test.Echo/Run") == subject


async def test_a_required_certificate(authority: Authority) -> None:
    """A client without a required certificate fails with that reason."""
    context = authority.server_context(asks_clients=True)
    context.verify_mode = ssl.CERT_REQUIRED
    async with serving(context) as server:
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            tls = client_tls(ca=authority.file)
            tls.context.maximum_version = version
            async with Channel("127.0.0.1", server.port, ssl=tls) as channel:
                with pytest.raises(UnavailableError, match=r"TLS failed \(") as caught:
                    await ask(channel)
        assert "the server requires a client certificate" in str(caught.value)
        assert server.statistics().connections_ended == {"tls_failed": 2}


async def test_plaintext_at_tls(
    server_tls: ssl.SSLContext, caplog: pytest.LogCaptureFixture
) -> None:
    """A client without TLS on a TLS port gets a reply in its own protocol, and a log line."""
    async with serving(server_tls) as server:
        async with Channel("127.0.0.1", server.port) as channel:
            with pytest.raises(UnavailableError, match="this port requires TLS"):
                await ask(channel)
        page = await reply_to(server.port, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        assert page.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert await reply_to(server.port, b"whatever") == b""
        assert server.statistics().connections_ended == {"no_tls": 3}
    assert messages(caplog) == [
        f"127.0.0.1 connected without TLS to a TLS port; first bytes: {text}"
        for text in ("HTTP/2 without TLS", "HTTP/1", "b'what'")
    ]


async def test_tls_at_plaintext(tls: ClientTLS, caplog: pytest.LogCaptureFixture) -> None:
    """A TLS client on a plaintext port gets a clear error, and the server logs it."""
    caplog.set_level(logging.INFO)
    async with serving() as server:
        async with Channel("127.0.0.1", server.port, ssl=tls) as channel:
            with pytest.raises(UnavailableError, match="the peer does not use TLS"):
                await ask(channel)
        while server.connections:
            await asyncio.sleep(0.01)
    assert "closing connection from 127.0.0.1: HTTP/2 violation: it began with TLS" in messages(
        caplog
    )


async def test_without_alpn(
    authority: Authority, server_tls: ssl.SSLContext, caplog: pytest.LogCaptureFixture
) -> None:
    """A client that does not negotiate h2 gets an HTTP/1 error page and is closed."""
    context = ssl.create_default_context(cafile=str(authority.file))
    context.set_alpn_protocols(["http/1.1"])
    async with serving(server_tls) as server:
        reader, writer = await asyncio.open_connection(
            "localhost", server.port, family=socket.AF_INET, ssl=context
        )
        async with asyncio.timeout(30):
            page = await reader.read()
        writer.close()
        assert page.startswith(b"HTTP/1.1 505 ")
        assert server.statistics().connections_ended == {"no_alpn": 1}
    assert messages(caplog) == [
        "127.0.0.1 did not negotiate h2 with ALPN, which gRPC over TLS requires"
    ]


async def test_a_broken_handshake(
    server_tls: ssl.SSLContext, caplog: pytest.LogCaptureFixture
) -> None:
    """An invalid handshake ends with an alert. An interrupted one leaves no connection."""
    hello = b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"
    async with serving(server_tls) as server:
        assert (await reply_to(server.port, hello))[:1] == b"\x15"
        assert "TLS handshake with 127.0.0.1 failed: " in messages(caplog)[0]
        assert await reply_to(server.port, hello[:7], end=True) == b""
        while server.connections:
            await asyncio.sleep(0.01)


async def test_garbage_after_the_handshake(
    server_tls: ssl.SSLContext, tls: ClientTLS, authority: Authority
) -> None:
    """An invalid record ends its own connection only."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    side = tls.context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    async with serving(server_tls) as server:
        async with Channel("127.0.0.1", server.port, ssl=tls) as bystander:
            await ask(bystander)
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            async with asyncio.timeout(30):
                while True:
                    try:
                        side.do_handshake()
                        break
                    except ssl.SSLWantReadError:
                        writer.write(outgoing.read())
                        incoming.write(await reader.read(65536))
                side.write(GREETING)
                writer.write(outgoing.read() + b"\x17\x03\x03\x00\x20" + bytes(32))
                await reader.read()
            writer.close()
            assert await ask(bystander) == "a"
            assert server.connections == 1


async def test_close_notify(server_tls: ssl.SSLContext, tls: ClientTLS) -> None:
    """The server answers the close_notify of a client."""
    context = tls.context
    async with serving(server_tls) as server:
        reader, writer = await asyncio.open_connection(
            "localhost", server.port, family=socket.AF_INET, ssl=context
        )
        writer.write(GREETING)
        await reader.readexactly(9)
        writer.close()
        await writer.wait_closed()
        while server.connections:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("over_tls", [False, True])
async def test_behind_a_proxy(
    server_tls: ssl.SSLContext, tls: ClientTLS, over_tls: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The address from a trusted proxy is used for handlers and statistics."""
    context = server_tls if over_tls else None
    binary = (
        b"\r\n\r\n\0\r\nQUIT\n\x21\x21\x00\x24"
        + ipaddress.ip_address("2001:db8::7").packed
        + ipaddress.ip_address("::1").packed
        + b"\x00\x07\x01\xbb"
    )
    async with serving(context, proxies=LOOPBACK, handler=tell_peer) as server:
        for header, addr in (
            (HEADER, ("192.0.2.7", 51000)),
            (binary, ("2001:db8::7", 7)),
        ):
            async with proxy(server.port, header) as port:
                async with Channel("127.0.0.1", port, ssl=tls if over_tls else None) as channel:
                    assert await ask(channel, path="/test.Echo/Run") == repr(addr)
                    (statistics,) = server.connection_statistics()
                    assert statistics.peer == addr[0]
            while server.connections:
                await asyncio.sleep(0.01)
        async with proxy(server.port, b"PROXY UNKNOWN\r\n") as port:
            async with Channel("127.0.0.1", port, ssl=tls if over_tls else None) as channel:
                assert "127.0.0.1" in await ask(channel, path="/test.Echo/Run")
    assert messages(caplog) == []


async def test_a_header_in_pieces() -> None:
    """A header may arrive byte by byte. Data after it in the same packet is kept."""
    async with serving(proxies=LOOPBACK) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for byte in HEADER[:-1]:
            writer.write(bytes([byte]))
            await asyncio.sleep(0)
        writer.write(HEADER[-1:] + GREETING)
        async with asyncio.timeout(30):
            assert (await reader.readexactly(9))[3] == 4
        (statistics,) = server.connection_statistics()
        assert statistics.peer == "192.0.2.7"
        writer.close()


async def test_a_header_from_others(caplog: pytest.LogCaptureFixture) -> None:
    """A peer that is not trusted keeps its own address. A header from it is an error."""
    caplog.set_level(logging.INFO)
    async with serving(proxies=ELSEWHERE, handler=tell_peer) as server:
        async with Channel("127.0.0.1", server.port) as channel:
            assert "127.0.0.1" in await ask(channel, path="/test.Echo/Run")
        kind, goaway = frames_in(await reply_to(server.port, HEADER + GREETING))[-1]
        assert kind == 7
        assert goaway[8:] == b"it began with a PROXY protocol header"


async def test_a_wrong_header(caplog: pytest.LogCaptureFixture) -> None:
    """A trusted proxy that sends no valid header is disconnected, with a log line."""
    async with serving(proxies=LOOPBACK) as server:
        for data in (GREETING, b"PROXY TCP4 nobody\r\n", b"PROXY " + b"x" * 200):
            assert await reply_to(server.port, data) in (b"", b"reset")
        assert server.statistics().connections_ended == {"proxy_protocol": 3}
        assert not server.connections
    assert all(
        line.startswith("invalid PROXY protocol header from 127.0.0.1: ")
        for line in messages(caplog)
    )
    assert len(messages(caplog)) == 3


async def test_slow_handshakes(server_tls: ssl.SSLContext) -> None:
    """A header or handshake that does not complete is aborted after `handshake_timeout`."""
    limits = Limits(handshake_timeout=0.05)
    async with serving(server_tls, proxies=LOOPBACK, limits=limits) as server:
        for data in (b"", b"PROXY TCP4", HEADER, HEADER + b"\x16\x03\x01\x02\x00"):
            assert await reply_to(server.port, data) in (b"", b"reset")
        assert server.statistics().connections_ended == {"cut_ungreeted": 4}
        assert not server.connections


async def test_limits_apply_during_the_handshake(server_tls: ssl.SSLContext) -> None:
    """Connections in the handshake count for the limits and end with the server."""
    async with serving(server_tls, limits=Limits(max_connections_per_address=2)) as server:
        waiting = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(2)]
        while server.connections < 2:
            await asyncio.sleep(0.01)
        assert await reply_to(server.port, b"") in (b"", b"reset")
        assert server.statistics().connections_refused == 1
        async with asyncio.timeout(30):
            await server.drain(60)
        assert not server.connections
        for _, writer in waiting:
            writer.close()


async def test_the_limit_on_an_address_behind_a_proxy() -> None:
    """The limit counts the client, not its proxy."""
    limits = Limits(max_connections_per_address=1)
    writers = []
    async with serving(proxies=LOOPBACK, limits=limits) as server:
        for number in range(3):
            header = HEADER.replace(b"192.0.2.7", b"192.0.2.%d" % number)
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writers.append(writer)
            writer.write(header + GREETING)
            async with asyncio.timeout(30):
                await reader.readexactly(9)
            assert await reply_to(server.port, header) in (b"", b"reset")
        statistics = server.statistics()
        assert statistics.connections == statistics.connections_refused == 3
        for writer in writers:
            writer.close()


async def test_a_unix_socket(tmp_path: Path) -> None:
    """On a Unix socket every peer may send a header, since file permissions control access."""
    server = Server([Echo(tell_peer)])
    path = str(tmp_path / "chat.sock")
    await server.start(path=path, proxies=())
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(HEADER + GREETING)
    async with asyncio.timeout(30):
        await reader.readexactly(9)
    assert [each.peer for each in server.connection_statistics()] == ["192.0.2.7"]
    writer.close()
    server.close()
    await server.wait_closed()


def test_is_proxy() -> None:
    """IPv4-mapped IPv6 addresses match IPv4 networks, and scope ids are ignored."""
    listener = ListenerConfig(None, proxies=(*ELSEWHERE, ipaddress.ip_network("fe80::/10")))
    assert listener.is_proxy("10.1.2.3")
    assert listener.is_proxy("::ffff:10.1.2.3")
    assert listener.is_proxy("fe80::1%eth0")
    assert not listener.is_proxy("192.0.2.1")
    assert not ListenerConfig(None).is_proxy("10.1.2.3")
    assert not ListenerConfig(None).is_proxy(None)


async def test_context_without_alpn(authority: Authority, tls: ClientTLS) -> None:
    """A context without ALPN protocols is used as it is."""
    server = Server([Echo()])
    await server.start("127.0.0.1", 0, ssl=authority.server_context(alpn=False))
    async with Channel("127.0.0.1", server.port, ssl=tls) as channel:
        assert await ask(channel) == "a"
    server.close()
    await server.wait_closed()
