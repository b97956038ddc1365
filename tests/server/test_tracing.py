"""Tests of server/tracing.py, with the SDK of OpenTelemetry."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from chatify_stream import (
    Channel,
    ChatClient,
    ChatServer,
    RoomJoin,
    RoomOptions,
    Status,
    StatusError,
    TracingOptions,
)
from tests.server.rooms.membership import channel_to, joined

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
SECONDS = 20


class Recorded:
    """Collects the spans that have ended."""

    def __init__(self) -> None:
        self.provider = TracerProvider()
        self._exporter = InMemorySpanExporter()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    @property
    def spans(self) -> dict[str, ReadableSpan]:
        return {span.name: span for span in self._exporter.get_finished_spans()}

    async def span(self, name: str) -> ReadableSpan:
        """Wait until a span has ended, and return it."""
        async with asyncio.timeout(SECONDS):
            while name not in self.spans:
                await asyncio.sleep(0.001)
        return self.spans[name]

    @asynccontextmanager
    async def server(
        self, message_sampling: float = 0.0, **options: Any
    ) -> AsyncIterator[ChatServer]:
        tracing = TracingOptions(message_sampling, self.provider)
        async with ChatServer(tracing=tracing, **options) as server:
            await server.start("127.0.0.1", 0)
            yield server


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


CHAT = "service.v1.Service/Chat"


async def chat(server: ChatServer, *texts: str, **options: Any) -> None:
    async with ChatClient(f"127.0.0.1:{server.port}", **options) as client:
        for text in texts:
            await client.send(text)
            await client.receive()
        await client.half_close()
        assert await client.receive() is None


def events_of(span: ReadableSpan) -> dict[str, dict[str, Any]]:
    return {event.name: dict(event.attributes or {}) for event in span.events}


async def test_a_call(recorded: Recorded) -> None:
    """A call has a server span with the attributes of OpenTelemetry's conventions."""
    async with recorded.server() as server:
        await chat(server, "gene", "ada")
        span = await recorded.span(CHAT)
    assert span.kind is SpanKind.SERVER
    assert span.parent is None
    attributes = dict(span.attributes or {})
    assert attributes.pop("network.peer.port")
    assert attributes == {
        "rpc.system": "grpc",
        "rpc.service": "service.v1.Service",
        "rpc.method": "Chat",
        "rpc.grpc.status_code": 0,
        "network.peer.address": "127.0.0.1",
    }
    assert span.status.status_code is StatusCode.UNSET
    assert events_of(span)["ended"] == {
        "chatify.messages_received": 2,
        "chatify.messages_sent": 2,
    }


async def test_the_trace_of_the_client(recorded: Recorded) -> None:
    """The span belongs to the trace of the client."""
    metadata = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=1"}
    async with recorded.server() as server:
        await chat(server, "gene", metadata=metadata)
        span = await recorded.span(CHAT)
    assert span.context is not None
    assert span.parent is not None
    assert span.context.trace_id == int(TRACE, 16)
    assert span.parent.span_id == int(PARENT, 16)
    assert span.context.trace_state.get("vendor") == "1"


@pytest.mark.parametrize("traceparent", ["-", "nonsense", "00-0-0-00", "ff" * 500])
async def test_a_wrong_trace(recorded: Recorded, traceparent: str) -> None:
    """A malformed trace header starts a new trace, and the call is served."""
    async with recorded.server() as server:
        await chat(server, "gene", metadata={"traceparent": traceparent})
        span = await recorded.span(CHAT)
    assert span.parent is None


@pytest.mark.parametrize(
    ("status", "is_error"), [(Status.INVALID_ARGUMENT, False), (Status.INTERNAL, True)]
)
async def test_statuses(recorded: Recorded, status: Status, is_error: bool) -> None:
    """A status that the server is to blame for is an error, others are not."""

    def refuse(name: str) -> str:
        raise StatusError(status, "no")

    async with recorded.server(reply=refuse) as server:
        with pytest.raises(StatusError):
            await chat(server, "gene")
        span = await recorded.span(CHAT)
    assert (span.attributes or {})["rpc.grpc.status_code"] == status.value
    assert (span.status.status_code is StatusCode.ERROR) is is_error


async def test_a_room(recorded: Recorded) -> None:
    """The span of a room session has events for joining, resuming and the end."""
    async with recorded.server() as server, channel_to(server) as channel:
        async with joined(channel, user="ada") as member:
            await member.say("hi")
            await member.hear()
            await member.half_close()
            await member.end()
        span = await recorded.span(CHAT)
    events = events_of(span)
    assert list(events) == ["joined", "ended"]
    session = events["joined"].pop("chatify.session")
    assert events["joined"] == {"chatify.room": "lobby", "chatify.user": "ada"}
    assert events["ended"] == {
        "chatify.messages_received": 1,
        "chatify.messages_sent": 1,
        "chatify.room": "lobby",
        "chatify.user": "ada",
        "chatify.session": session,
        "chatify.ending": "done",
    }


@pytest.mark.parametrize("recovered", [True, False])
async def test_resuming(recorded: Recorded, recovered: bool) -> None:
    """The span of a session that resumes has whether it recovered."""
    async with recorded.server() as server, channel_to(server) as channel:
        position = await server.rooms.publish("lobby", "ada", "hi")
        resume = str(position) if recovered else "other/1"
        async with joined(channel, resume=resume):
            pass
        span = await recorded.span(CHAT)
    assert events_of(span)["joined"]["chatify.recovered"] is recovered


async def test_what_is_current(recorded: Recorded) -> None:
    """The span of the call is current in replies and in hooks."""
    seen: list[int] = []

    def see() -> None:
        seen.append(trace.get_current_span().get_span_context().span_id)

    def reply(name: str) -> Any:
        async def later() -> str:
            see()
            return name

        if name == "later":
            return later()
        see()
        return name

    async def on_join(join: RoomJoin) -> None:
        see()

    async with recorded.server(reply=reply, rooms=RoomOptions(on_join=on_join)) as server:
        await chat(server, "now", "later", "now")
        direct = await recorded.span(CHAT)
        assert direct.context is not None
        assert seen == [direct.context.span_id] * 3
        async with channel_to(server) as channel, joined(channel):
            pass
    assert len(seen) == 4
    assert seen[3] not in (0, seen[0])


@pytest.mark.parametrize("sampling", [0.0, 1.0])
async def test_messages(recorded: Recorded, sampling: float) -> None:
    """Sampled messages have spans within the span of their call."""
    async with recorded.server(sampling) as server:
        await chat(server, "gene")
        call = await recorded.span(CHAT)
        async with channel_to(server) as channel, joined(channel) as member:
            await member.say("hi")
            await member.hear()
        names = {"reply", "publish"} & recorded.spans.keys()
        assert names == ({"reply", "publish"} if sampling else set())
        if sampling:
            parent = recorded.spans["reply"].parent
            assert parent == call.context
            publish = recorded.spans["publish"]
            assert publish.kind is SpanKind.PRODUCER
            assert dict(publish.attributes or {}) == {"chatify.room": "lobby"}


async def test_off() -> None:
    """A server without tracing does not change the context."""
    seen = []

    def reply(name: str) -> str:
        seen.append(trace.get_current_span().get_span_context().is_valid)
        return name

    async with ChatServer(reply=reply) as server:
        await server.start("127.0.0.1", 0)
        await chat(server, "gene", metadata={"traceparent": f"00-{TRACE}-{PARENT}-01"})
    assert seen == [False]


async def test_no_provider() -> None:
    """Without an SDK nothing is recorded, and the trace of the client is current."""
    seen = []

    def reply(name: str) -> str:
        seen.append(trace.get_current_span().get_span_context().trace_id)
        return name

    async with ChatServer(reply=reply, tracing=True) as server:
        await server.start("127.0.0.1", 0)
        await chat(server, "gene", metadata={"traceparent": f"00-{TRACE}-{PARENT}-01"})
    assert seen == [int(TRACE, 16)]


async def test_a_tracer_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    """An error of the tracer is logged, and the call is served."""

    class Failing(TracerProvider):
        def get_tracer(self, *args: Any, **kwargs: Any) -> Any:
            class Tracer:
                def start_span(self, *args: Any, **kwargs: Any) -> Any:
                    raise RuntimeError("no span")

            return Tracer()

    async with ChatServer(tracing=TracingOptions(tracer_provider=Failing())) as server:
        await server.start("127.0.0.1", 0)
        await chat(server, "gene")
    assert "an observer failed" in caplog.text


async def test_our_channel(recorded: Recorded) -> None:
    """A channel with tracing sends the current span with each call."""
    tracer = recorded.provider.get_tracer("client")
    async with (
        recorded.server() as server,
        Channel("127.0.0.1", server.port, tracing=True) as channel,
    ):
        with tracer.start_as_current_span("mine") as mine:
            async with ChatClient(channel, metadata=[("x", "1")]) as client:
                await client.send("gene")
                await client.close_and_recv()
        span = await recorded.span(CHAT)
    assert span.parent is not None
    assert span.parent.span_id == mine.get_span_context().span_id
