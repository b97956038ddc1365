"""Test a gateway that authenticates to the chat server with a token."""

import httpx
import pytest

from chatify_stream import ChatServer, Credentials, Identity, unauthenticated
from chatify_stream.gateway import create_app

TOKENS = ["first", "second"]


class ByToken:
    async def authenticate(self, call: Credentials) -> Identity:
        token = str(call.metadata.get("authorization", "")).removeprefix("Bearer ")
        if token not in TOKENS:
            raise unauthenticated("there is no token")
        return Identity(token)


@pytest.mark.parametrize("has_token", [True, False])
async def test_token(has_token: bool) -> None:
    """Each request sends the current token; without a token it is rejected."""
    tokens = iter(TOKENS)
    async with ChatServer(auth=ByToken()) as server:
        await server.start("127.0.0.1", 0)
        token = (lambda: next(tokens)) if has_token else None
        app = create_app(f"127.0.0.1:{server.port}", 30, token=token)
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://gateway") as client,
        ):
            answers = [await client.get("/helloworld/Ada") for _ in TOKENS]
    if has_token:
        assert [answer.json() for answer in answers] == [{"message": "Hello Ada"}] * 2
    else:
        assert [answer.json()["reason"] for answer in answers] == ["UNAUTHENTICATED"] * 2
