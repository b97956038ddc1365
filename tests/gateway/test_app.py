"""Tests of gateway/app.py."""

import asyncio
import socket
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from chatify_stream import ChatServer, Session
from chatify_stream.gateway import app as app_module
from chatify_stream.gateway import create_app

from ..e2e.processes import ServerProcess
from .gateways import SECONDS, error, gateway_to, request, serving

JSON = "application/json"


def not_found(path: str) -> dict[str, object]:
    return error(404, "NOT_FOUND", f"{path}: not found; use GET /helloworld/NAME")


class TestNames:
    @pytest.mark.parametrize(
        ("path", "name"),
        [
            ("gene", "gene"),
            ("a+b", "a+b"),
            ("a%20b", "a b"),
            ("小明", "小明"),
            ("%E5%B0%8F%e6%98%8e", "小明"),
            ("🎉", "🎉"),
            ("%F0%9F%8E%89", "🎉"),
            ("a%2Fb", "a/b"),
            ("%2F", "/"),
            ("%2Fhelloworld%2F", "/helloworld/"),
            ("a%3Fb%23c", "a?b#c"),
            ("100%25", "100%"),
            ("%252F", "%2F"),
            ("%zz%", "%zz%"),
            ("%7Bname%7D", "{name}"),
            ("a?b=c", "a"),
            ("a;b=c,d&e", "a;b=c,d&e"),
            ("%2E%2E", ".."),
            ("healthz", "healthz"),
            ("%00", "\0"),
        ],
    )
    def test_name(self, gateway: ServerProcess, path: str, name: str) -> None:
        """The name is the last, percent-decoded segment of the path; the response is the reply."""
        response = request(gateway, f"/helloworld/{path}")
        assert (response.status_code, response.headers["content-type"]) == (200, JSON)
        assert response.json() == {"message": f"Hello {name}"}

    @pytest.mark.parametrize("name", ["a\nb", "\n", "a\n", "\r\n", "\u2028", "a b\tc"])
    def test_any_name(self, gateway: ServerProcess, name: str) -> None:
        """A name may contain line breaks and spaces."""
        response = request(gateway, f"/helloworld/{quote(name)}")
        assert response.json() == {"message": f"Hello {name}"}

    def test_long_name(self, gateway: ServerProcess) -> None:
        """A name may be as long as a request line."""
        response = request(gateway, f"/helloworld/{'x' * 50_000}")
        assert response.json() == {"message": "Hello " + "x" * 50_000}

    @pytest.mark.parametrize("name", ["%ff", "a%C3", "%ED%A0%80"])
    def test_not_utf8(self, gateway: ServerProcess, name: str) -> None:
        """A name that is not UTF-8 is rejected with status 400."""
        response = request(gateway, f"/helloworld/{name}")
        assert (response.status_code, response.headers["content-type"]) == (400, JSON)
        assert response.json() == error(
            400, "INVALID_ARGUMENT", f"name {name}: not valid UTF-8; percent-encode it as UTF-8"
        )

    def test_not_http(self, gateway: ServerProcess) -> None:
        """A request line that is not ASCII gets a 400, and the connection is closed."""
        with socket.create_connection((gateway.host, gateway.port), timeout=SECONDS) as raw:
            raw.sendall("GET /helloworld/小明 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            answer = b"".join(iter(lambda: raw.recv(1024), b""))
        assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")


class TestAnswers:
    def test_head(self, gateway: ServerProcess) -> None:
        """HEAD returns the response to GET without its body."""
        response = request(gateway, "/helloworld/Ada", "HEAD")
        assert (response.status_code, response.content) == (200, b"")
        assert int(response.headers["content-length"]) == len('{"message":"Hello Ada"}')

    def test_healthz(self, gateway: ServerProcess) -> None:
        """The health page reports that the gateway is alive."""
        response = request(gateway, "/healthz")
        assert (response.status_code, response.headers["content-type"]) == (200, JSON)
        assert response.json() == {"status": "SERVING"}

    async def test_healthz_alone(self, refusing_port: int) -> None:
        """The gateway is alive without a chat server."""
        async with serving(create_app(f"127.0.0.1:{refusing_port}")) as client:
            assert (await client.get("/helloworld/Ada")).status_code == 503
            assert (await client.get("/healthz")).json() == {"status": "SERVING"}

    @pytest.mark.parametrize(
        "path",
        [
            *("/", "/nope", "/helloworld", "/helloworld/", "/helloworld/a/b", "/helloworld/a/"),
            *("/helloworld//", "/Helloworld/a", "/healthz/", "/helloworlds/a", "/docs", "/小明"),
        ],
    )
    def test_not_found(self, gateway: ServerProcess, path: str) -> None:
        """Other paths are not found, and the error names the path to use."""
        response = request(gateway, path)
        assert (response.status_code, response.headers["content-type"]) == (404, JSON)
        assert response.json() == not_found(path)

    @pytest.mark.parametrize("host", ["[", "", "a b", "a/b?c"])
    def test_any_host(self, gateway: ServerProcess, host: str) -> None:
        """An invalid Host header does not change the response."""
        response = request(gateway, "/nope%3Fa", host=host)
        assert response.status_code == 404
        assert response.json() == not_found("/nope?a")

    @pytest.mark.parametrize("path", ["/helloworld/Ada", "/helloworld/a/b", "/healthz"])
    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CHAT"])
    def test_method(self, gateway: ServerProcess, method: str, path: str) -> None:
        """Other methods are rejected, and the error names the method to use."""
        response = request(gateway, path, method)
        assert (response.status_code, response.headers["content-type"]) == (405, JSON)
        assert {each.strip() for each in response.headers["allow"].split(",")} == {"GET", "HEAD"}
        assert response.json() == error(
            405, "METHOD_NOT_ALLOWED", f"{path}: {method} is not allowed; use GET"
        )


class TestChatServer:
    async def test_reply_is_not_escaped(self) -> None:
        """The reply is not escaped in the JSON, but sent as UTF-8."""
        async with gateway_to(ChatServer(reply=lambda name: "你好")) as client:
            response = await client.get("/helloworld/x")
        assert response.content == '{"message":"你好"}'.encode()

    async def test_no_reply(self) -> None:
        """A call that ends OK without a reply is an internal error."""

        async def handler(session: Session) -> None:
            assert await session.receive() is not None

        async with gateway_to(ChatServer(handler=handler)) as client:
            response = await client.get("/helloworld/Ada")
        assert response.status_code == 500
        assert response.json() == error(
            500, "INTERNAL", "the chat server ended the call without a reply"
        )

    async def test_several_replies(self) -> None:
        """The last of several replies is returned."""

        async def handler(session: Session) -> None:
            async for message in session:
                for number in range(3):
                    await session.send(f"{message.name} {number}")

        async with gateway_to(ChatServer(handler=handler)) as client:
            response = await client.get("/helloworld/Ada")
        assert response.json() == {"message": "Ada 2"}

    async def test_one_connection(self) -> None:
        """Concurrent requests share one connection to the chat server; each gets its reply."""
        peers = set()
        everyone_is_in = asyncio.Barrier(50)

        async def handler(session: Session) -> None:
            peers.add(session.peer)
            async for message in session:
                await everyone_is_in.wait()
                await session.send(message.name)

        async with gateway_to(ChatServer(handler=handler)) as client:
            paths = [f"/helloworld/{number}" for number in range(50)]
            responses = await asyncio.gather(*map(client.get, paths))
        assert [response.json()["message"] for response in responses] == [
            str(number) for number in range(50)
        ]
        assert len(peers) == 1

    async def test_several(self) -> None:
        """The first of several chat servers gets all requests, or they take turns."""
        async with (
            ChatServer(reply=lambda name: "first") as first,
            ChatServer(reply=lambda name: "second") as second,
        ):
            for each in (first, second):
                await each.start("127.0.0.1", 0)
            target = [f"127.0.0.1:{each.port}" for each in (first, second)]

            async def ask(client: httpx.AsyncClient, times: int) -> set[str]:
                responses = [await client.get("/helloworld/Ada") for _ in range(times)]
                return {response.json()["message"] for response in responses}

            async with serving(create_app(target, SECONDS)) as client:
                assert await ask(client, 10) == {"first"}
            async with serving(create_app(target, SECONDS, "round_robin")) as client:
                async with asyncio.timeout(SECONDS):
                    while await ask(client, 2) != {"first", "second"}:
                        pass

    async def test_one_is_dead(self, refusing_port: int) -> None:
        """While one of two chat servers is down, the other serves all requests."""
        async with ChatServer() as server:
            await server.start("127.0.0.1", 0)
            target = f"127.0.0.1:{refusing_port},127.0.0.1:{server.port}"
            async with serving(create_app(target, SECONDS)) as client:
                for _ in range(3):
                    response = await client.get("/helloworld/Ada")
                    assert response.json() == {"message": "Hello Ada"}

    async def test_deadline(self) -> None:
        """The timeout is sent to the chat server as a deadline."""
        deadlines = []

        async def handler(session: Session) -> None:
            deadlines.append(session.deadline)
            async for message in session:
                await session.send(message.name)

        async with gateway_to(ChatServer(handler=handler)) as client:
            assert (await client.get("/helloworld/Ada")).status_code == 200
        [deadline] = deadlines
        assert deadline is not None
        assert deadline.time_remaining() <= SECONDS


class TestApplication:
    @pytest.mark.parametrize("target", ["", "http://localhost", "localhost:0", "localhost,a:0"])
    def test_bad_target(self, target: str) -> None:
        """A wrong target is rejected when the application is made."""
        with pytest.raises(ValueError, match="is not an address"):
            create_app(target)

    async def test_mounted(self, chat: ServerProcess) -> None:
        """The application works mounted in another one, whose lifespan runs its lifespan."""
        inner = create_app(chat.address, SECONDS)
        outer = Starlette(
            routes=[Mount("/chat", inner)],
            lifespan=lambda app: inner.router.lifespan_context(inner),
        )
        async with serving(outer) as client:
            response = await client.get("/chat/helloworld/a%2F小明")
            assert (await client.get("/chat/helloworld/a/b")).status_code == 404
            assert (await client.get("/helloworld/a")).status_code == 404
        assert response.json() == {"message": "Hello a/小明"}

    async def test_own_fault(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """An unexpected exception becomes status 500 without its text, and is logged."""

        def broken(*args: object, **kwargs: object) -> None:
            raise RuntimeError("secret")

        monkeypatch.setattr(app_module, "ChatClient", broken)
        async with gateway_to(ChatServer()) as client:
            response = await client.get("/helloworld/Ada")
        assert response.status_code == 500
        assert response.json() == error(
            500, "INTERNAL", "internal error of the gateway; see its log"
        )
        assert "secret" in caplog.text

    async def test_no_raw_path(self, chat: ServerProcess) -> None:
        """The application works with an ASGI server that does not provide the raw path."""
        app = create_app(chat.address, SECONDS)

        async def without_raw_path(scope: Any, receive: Any, send: Any) -> None:
            del scope["raw_path"]
            await app(scope, receive, send)

        transport = httpx.ASGITransport(without_raw_path)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://test") as client,
        ):
            response = await client.get("/helloworld/%E5%B0%8F%E6%98%8E")
        assert response.json() == {"message": "Hello 小明"}
