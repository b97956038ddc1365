"""Every method, called by everybody, in the clear and by TLS: who is let in, and who is not.

The table is written once, and made true by three clients: ours, grpcio and grpc-go.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from chatify_stream import (
    CallError,
    CertificateAuthenticator,
    Channel,
    ChatReq,
    ChatServer,
    JwtAuthenticator,
    RoomOptions,
)
from chatify_stream.messages.chatify.rooms import v1
from chatify_stream.messages.grpc.health.v1 import HealthCheckRequest
from chatify_stream.wire import Cardinality

from ..auth.certificates import Authority, Pair
from ..auth.tokens import secret_path, signed

PATIENCE = 120
REFLECTION = "grpc.reflection.{}.ServerReflection/ServerReflectionInfo"
LIST_SERVICES = b"\x3a\x01*"

METHODS: dict[str, tuple[str, bytes]] = {
    "/service.v1.Service/Chat": ("user", bytes(ChatReq(name="hi"))),
    "/service.v1.Service/ChatStream": ("user", bytes(ChatReq(name="hi"))),
    "/Service/Chat": ("user", bytes(ChatReq(name="hi"))),
    "/chatify.rooms.v1.Rooms/Publish": (
        "admin",
        bytes(v1.PublishRequest(room="lobby", user="x", text="hi")),
    ),
    "/chatify.rooms.v1.Rooms/History": ("admin", bytes(v1.HistoryRequest(room="lobby"))),
    "/chatify.rooms.v1.Rooms/Presence": ("admin", bytes(v1.PresenceRequest(room="lobby"))),
    "/chatify.rooms.v1.Rooms/ListRooms": ("admin", b""),
    "/chatify.rooms.v1.Rooms/Disconnect": ("admin", bytes(v1.DisconnectRequest(user="nobody"))),
    "/chatify.rooms.v1.Rooms/ListNodes": ("admin", b""),
    f"/{REFLECTION.format('v1')}": ("admin", LIST_SERVICES),
    f"/{REFLECTION.format('v1alpha')}": ("admin", LIST_SERVICES),
    "/grpc.health.v1.Health/Check": ("anybody", bytes(HealthCheckRequest())),
    "/grpc.health.v1.Health/List": ("anybody", b""),
}
"""Who each method is for, and a request for it; Health/Watch, which never ends, is apart."""

ROOMS = {"lobby": "user", "team-1": "reader", "staff": "admin"}
"""Who may join which room."""

CALLERS = {
    "none": 0,
    "bad": 0,
    "expired": 0,
    "other audience": 0,
    "user": 1,
    "admin": 2,
}
NEEDED = {"anybody": 0, "user": 1, "reader": 1, "admin": 2}

REFUSED = ("UNAUTHENTICATED", "PERMISSION_DENIED")


def authorization(caller: str) -> dict[str, str]:
    now = time.time()
    claims: dict[str, Any] = {
        "sub": caller,
        "exp": now + 3600,
        "aud": "chat",
        "rooms": {"lobby": ["join", "send", "read"], "team-*": ["join", "read"]},
    }
    match caller:
        case "none":
            return {}
        case "bad":
            token = signed(claims, secret="another secret, of thirty-two bytes")
        case "expired":
            token = signed(claims | {"exp": now - 3600})
        case "other audience":
            token = signed(claims | {"aud": "mail"})
        case "admin":
            token = signed(claims | {"rooms": {"*": ["admin"]}})
        case _:
            token = signed(claims)
    return {"authorization": f"Bearer {token}"}


def due(needed: str, strength: int) -> str:
    if NEEDED[needed] <= strength or needed == "anybody":
        return "OK"
    return REFUSED[min(strength, 1)]


def row(path: str, metadata: dict[str, str], request: bytes) -> dict[str, Any]:
    return {"path": path, "metadata": metadata, "request": base64.b64encode(request).decode()}


def table(
    credentials: dict[str, tuple[dict[str, str], int]],
) -> Iterator[tuple[dict[str, Any], str]]:
    """The calls, and how each ends; `credentials`: the metadata of each caller, and what it may."""
    for metadata, strength in credentials.values():
        for path, (needed, request) in METHODS.items():
            yield row(path, metadata, request), due(needed, strength)
        for room, needed in ROOMS.items():
            request = bytes(ChatReq(name="hi"))
            in_room = {**metadata, "chat-room": room}
            yield row("/service.v1.Service/Chat", in_room, request), due(needed, strength)


BY_TOKEN = {name: (authorization(name), strength) for name, strength in CALLERS.items()}
SAME_USER = row(
    "/service.v1.Service/Chat",
    authorization("user") | {"chat-room": "lobby", "chat-user": "user"},
    b"",
)
OTHER_USER = row(
    "/service.v1.Service/Chat",
    authorization("user") | {"chat-room": "lobby", "chat-user": "admin"},
    b"",
)


@asynccontextmanager
async def serving(auth: Any, context: ssl.SSLContext | None) -> AsyncIterator[str]:
    rooms = RoomOptions(service=True)
    async with ChatServer(auth=auth, rooms=rooms, reflection=True) as server:
        await server.start("127.0.0.1", 0, ssl=context)
        yield f"127.0.0.1:{server.port}"


@asynccontextmanager
async def matrix(folder: Path) -> AsyncIterator[tuple[list[dict[str, Any]], list[list[str]]]]:
    """A server in each mode, with its calls; and how these end."""
    authority = Authority(folder)
    pairs = {name: authority.issue(name) for name in ("user", "admin")}
    tokens = JwtAuthenticator(secret_file=secret_path(folder), audience="chat")
    certificates = CertificateAuthenticator(admins=["admin"])
    plain, asking = authority.server_context(), authority.server_context(asks_clients=True)
    requiring = authority.server_context(asks_clients=True)
    requiring.verify_mode = ssl.CERT_REQUIRED
    by_token = [*table(BY_TOKEN), (SAME_USER, "OK"), (OTHER_USER, "PERMISSION_DENIED")]
    servers: list[dict[str, Any]] = []
    ends: list[list[str]] = []
    async with AsyncExitStack() as stack:

        async def add(
            auth: Any,
            context: ssl.SSLContext | None,
            shown: Pair | None,
            calls: list[tuple[dict[str, Any], str]],
        ) -> None:
            servers.append(
                {
                    "address": await stack.enter_async_context(serving(auth, context)),
                    "ca": "" if context is None else str(authority.file),
                    "cert": "" if shown is None else str(shown.cert),
                    "key": "" if shown is None else str(shown.key),
                    "calls": [call for call, _ in calls],
                }
            )
            ends.append([end for _, end in calls])

        await add(tokens, None, None, by_token)
        await add(tokens, plain, None, by_token)
        await add(tokens, requiring, pairs["user"], by_token)
        for name, strength in {"none": 0, "user": 1, "admin": 2}.items():
            calls = list(table({name: ({}, strength)}))
            if name == "user":  # whose default rights are for all rooms
                calls = [
                    (call, "OK" if "chat-room" in call["metadata"] else end) for call, end in calls
                ]
            await add(certificates, asking, pairs.get(name), calls)
        yield servers, ends


async def with_process(servers: list[dict[str, Any]], *command: str | Path) -> list[list[str]]:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(PATIENCE):
        out, err = await process.communicate(json.dumps(servers).encode())
    assert process.returncode == 0, err.decode()
    names: list[list[str]] = json.loads(out)
    return names


class BytesCodec:
    """Leaves messages as they are."""

    __content_subtype__ = "proto"

    def encode(self, message: bytes, _message_type: Any) -> bytes:
        return message

    def decode(self, data: bytes, _message_type: Any) -> bytes:
        return data


async def with_ours(servers: list[dict[str, Any]]) -> list[list[str]]:
    names = []
    for server in servers:
        context = None
        if server["ca"]:
            context = ssl.create_default_context(cafile=server["ca"])
            context.set_alpn_protocols(["h2"])
            if server["cert"]:
                context.load_cert_chain(server["cert"], server["key"])
        async with Channel(target=server["address"], ssl=context, codec=BytesCodec()) as channel:
            names.append([await status_of(channel, call) for call in server["calls"]])
    return names


async def status_of(channel: Channel, call: dict[str, Any]) -> str:
    try:
        async with asyncio.timeout(PATIENCE):
            async with channel.request(
                call["path"], Cardinality.STREAM_STREAM, bytes, bytes, metadata=call["metadata"]
            ) as stream:
                await stream.send_message(base64.b64decode(call["request"]), end=True)
                async for _ in stream:
                    pass
    except CallError as error:
        return error.status.name
    return "OK"


def compared(
    servers: list[dict[str, Any]], names: list[list[str]], ends: list[list[str]]
) -> list[str]:
    """What differs from the table."""
    return [
        f"server {number}: {call['path']} {sorted(call['metadata'])}: {name}, not {end}"
        for number, server in enumerate(servers)
        for call, name, end in zip(server["calls"], names[number], ends[number], strict=True)
        if name.replace("_", "").lower() != end.replace("_", "").lower()
    ]


async def test_our_client(tmp_path: Path) -> None:
    """Our client is let in and refused as the table says."""
    async with matrix(tmp_path) as (servers, ends):
        assert compared(servers, await with_ours(servers), ends) == []


async def test_grpcio(tmp_path: Path) -> None:
    """So is grpcio."""
    script = Path(__file__).with_name("grpcio_table.py")
    async with matrix(tmp_path) as (servers, ends):
        names = await with_process(servers, sys.executable, script)
    assert compared(servers, names, ends) == []


async def test_grpc_go(tmp_path: Path, go_binaries: Path) -> None:
    """So is grpc-go."""
    async with matrix(tmp_path) as (servers, ends):
        names = await with_process(servers, go_binaries / "table")
    assert compared(servers, names, ends) == []


async def test_every_method_is_in_the_table() -> None:
    """The table has every method that a server with all of its services has, but Health/Watch."""
    server = ChatServer(rooms=RoomOptions(service=True), reflection=True)
    served = server._table.__mapping__()
    assert METHODS.keys() | {"/grpc.health.v1.Health/Watch"} == served.keys()


@pytest.mark.parametrize("caller", CALLERS)
async def test_watching_the_health(caller: str, tmp_path: Path) -> None:
    """Health/Watch is open to everybody, too."""
    auth = JwtAuthenticator(secret_file=secret_path(tmp_path), audience="chat")
    async with (
        serving(auth, None) as address,
        Channel(target=address, codec=BytesCodec()) as channel,
    ):
        async with channel.request(
            "/grpc.health.v1.Health/Watch",
            Cardinality.UNARY_STREAM,
            bytes,
            bytes,
            metadata=authorization(caller),
        ) as stream:
            await stream.send_message(b"", end=True)
            assert await stream.recv_message() is not None
            await stream.cancel()
