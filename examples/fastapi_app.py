"""Run a chat server in the lifespan of a FastAPI or Starlette application.

    pip install chatify-stream fastapi uvicorn
    uvicorn --app-dir examples fastapi_app:app

CHAT_PORT sets the port of the chat server (default 9000).
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from chatify_stream import ChatServer

names: list[str] = []


def reply(name: str) -> str:
    names.append(name)
    return f"Hello {name}"


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with ChatServer(reply=reply) as server:
        await server.start("127.0.0.1", int(os.environ.get("CHAT_PORT", "9000")))
        app.state.chat_port = server.port
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/names")
async def list_names() -> dict[str, object]:
    return {"names": names, "chat_port": app.state.chat_port}
