"""Our client at the servers of grpc-go and grpcio."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from grpclib.const import Cardinality

from chatify_stream import (
    Channel,
    ChatClient,
    ChatifyError,
    ChatReq,
    ChatRsp,
    DeadlineExceededError,
    ServiceStub,
    Status,
    StatusError,
)
from chatify_stream.wire import ClientStream

from . import peers
from .client_contract import CHAT, MEGABYTE, MESSAGES, REPLIES, TEXTS
from .processes import ListeningProcess

CALL_SECONDS = 30.0
METADATA = {"x-plain": "a, b", "x-name-bin": "名字".encode()}


@pytest.fixture(scope="session", params=[pytest.param("grpc-go", marks=pytest.mark.slow), "grpcio"])
def new_peer(request: pytest.FixtureRequest) -> Callable[[], ListeningProcess]:
    """Makes a server, not yet started, of each implementation."""
    if request.param == "grpcio":
        return peers.grpcio_server
    binaries: Path = request.getfixturevalue("go_binaries")
    return lambda: peers.go_server(binaries)


@pytest.fixture(scope="session")
def peer(new_peer: Callable[[], ListeningProcess]) -> Iterator[ListeningProcess]:
    """The server that the tests share."""
    with new_peer() as process:
        yield process


@pytest.fixture
async def chat(peer: ListeningProcess) -> AsyncIterator[ChatClient]:
    async with ChatClient(peer.address, timeout=CALL_SECONDS) as client:
        yield client


@pytest.fixture
async def channel(peer: ListeningProcess) -> AsyncIterator[Channel]:
    async with Channel(peer.host, peer.port) as channel:
        yield channel


class TestChatClient:
    async def test_burst(self, chat: ChatClient) -> None:
        """Replies to messages sent at once come in order, and the iteration ends at OK."""
        for message in MESSAGES:
            await chat.send(message)
        await chat.half_close()
        assert [reply.message async for reply in chat] == REPLIES

    async def test_pingpong(self, chat: ChatClient) -> None:
        """Each reply is there before the next message is sent, whatever the text."""
        for text in TEXTS:
            await chat.send(text)
            assert await chat.receive() == ChatRsp(message=f"Hello {text}")
        await chat.half_close()
        assert await chat.receive() is None

    async def test_close_and_recv(self, chat: ChatClient) -> None:
        """After the half-close the last of the replies is returned."""
        for message in MESSAGES:
            await chat.send(message)
        assert await chat.close_and_recv() == ChatRsp(message=REPLIES[-1])

    async def test_megabyte(self, chat: ChatClient) -> None:
        """Messages larger than every flow-control window come back whole and in order."""
        for letter in "abc":
            await chat.send(letter * MEGABYTE)
        await chat.half_close()
        replies = [reply.message async for reply in chat]
        assert replies == ["Hello " + letter * MEGABYTE for letter in "abc"]

    async def test_many_messages(self, chat: ChatClient) -> None:
        """10,000 messages on one stream, sent and read at once, are answered in order."""
        names = [str(number) for number in range(10_000)]

        async def send_all() -> None:
            for name in names:
                await chat.send(name)
            await chat.half_close()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(send_all())
            replies = [reply.message async for reply in chat]
        assert replies == [f"Hello {name}" for name in names]

    async def test_parallel_clients(self, peer: ListeningProcess) -> None:
        """50 clients with their streams open at once each get their own replies."""
        everyone_is_in = asyncio.Barrier(50)

        async def talk(number: int) -> list[str]:
            async with ChatClient(peer.address, timeout=CALL_SECONDS) as client:
                await client.send(f"{number} first")
                first = await client.receive()
                await everyone_is_in.wait()
                await client.send(f"{number} last")
                last = await client.close_and_recv()
            return [rsp.message for rsp in (first, last) if rsp is not None]

        async with asyncio.TaskGroup() as tasks:
            talks = [tasks.create_task(talk(number)) for number in range(50)]
        assert [task.result() for task in talks] == [
            [f"Hello {number} first", f"Hello {number} last"] for number in range(50)
        ]

    async def test_metadata_and_deadline(self, peer: ListeningProcess) -> None:
        """The server is told the metadata, binary too, and that there is a deadline."""
        async with ChatClient(peer.address, timeout=CALL_SECONDS, metadata=METADATA) as client:
            await client.send("context")
            reply = await client.close_and_recv()
        assert reply is not None
        assert json.loads(reply.message) == {
            "x-plain": ["a, b"],
            "x-name-bin": ["名字"],
            "deadline": True,
        }

    async def test_no_deadline(self, peer: ListeningProcess) -> None:
        """A client without a timeout sets no deadline."""
        async with ChatClient(peer.address) as client:
            await client.send("context")
            reply = await client.close_and_recv()
        assert reply is not None
        assert json.loads(reply.message)["deadline"] is False

    async def test_status(self, chat: ChatClient) -> None:
        """Replies before the failure arrive; then the error has status, text and details."""
        await chat.send("first")
        await chat.send("fail")
        assert await chat.receive() == ChatRsp(message="Hello first")
        with pytest.raises(StatusError) as caught:
            await chat.receive()
        assert_bad_name(caught.value)

    async def test_status_ends_iteration(self, chat: ChatClient) -> None:
        """A failure is not taken for the end of the replies."""
        await chat.send("first")
        await chat.send("fail")
        await chat.half_close()
        replies = []
        with pytest.raises(StatusError) as caught:
            async for reply in chat:
                replies.append(reply.message)
        assert replies == ["Hello first"]
        assert_bad_name(caught.value)

    async def test_deadline(self, peer: ListeningProcess) -> None:
        """A stream left open ends at its deadline; the next client is served."""
        async with ChatClient(peer.address, timeout=0.7) as late:
            with pytest.raises(DeadlineExceededError) as caught:
                async for _ in late:
                    pass
        assert caught.value.status is Status.DEADLINE_EXCEEDED
        async with ChatClient(peer.address, timeout=CALL_SECONDS) as client:
            await client.send("still here")
            assert await client.close_and_recv() == ChatRsp(message="Hello still here")

    async def test_server_killed(self, new_peer: Callable[[], ListeningProcess]) -> None:
        """A server that is gone in mid-stream is UNAVAILABLE, and stays so when called again."""
        with new_peer() as server:
            async with ChatClient(server.address, timeout=CALL_SECONDS) as client:
                await client.send("first")
                assert await client.receive() == ChatRsp(message="Hello first")
                server.kill()
                with pytest.raises(ChatifyError) as lost:
                    await client.receive()
            assert status_of(lost.value) is Status.UNAVAILABLE
            with pytest.raises(ChatifyError) as refused:
                async with ChatClient(server.address, timeout=CALL_SECONDS) as client:
                    await client.send("second")
                    await client.receive()
            assert status_of(refused.value) is Status.UNAVAILABLE


class TestServiceStub:
    async def test_list_of_requests(self, channel: Channel) -> None:
        """The generated stub takes the requests from a list."""
        requests = [ChatReq(name=text) for text in TEXTS]
        replies = ServiceStub(channel).chat(requests, timeout=CALL_SECONDS)
        assert [reply.message async for reply in replies] == [f"Hello {text}" for text in TEXTS]

    async def test_requests_after_replies(self, channel: Channel) -> None:
        """The generated stub sends a request that is made of the reply before it."""
        received: asyncio.Queue[str] = asyncio.Queue()

        async def requests() -> AsyncIterator[ChatReq]:
            yield ChatReq(name="Ada")
            for _ in range(3):
                yield ChatReq(name=await received.get())

        replies = []
        async for reply in ServiceStub(channel).chat(requests(), timeout=CALL_SECONDS):
            replies.append(reply.message)
            received.put_nowait(reply.message)
        assert replies == [f"{'Hello ' * times}Ada" for times in (1, 2, 3, 4)]

    async def test_many_messages(self, channel: Channel) -> None:
        """10,000 requests are answered in order."""
        names = [str(number) for number in range(10_000)]
        requests = (ChatReq(name=name) for name in names)
        replies = ServiceStub(channel).chat(requests, timeout=CALL_SECONDS)
        assert [reply.message async for reply in replies] == [f"Hello {name}" for name in names]

    async def test_status(self, channel: Channel) -> None:
        """A failure raises the same error as in ChatClient, and the channel stays usable."""
        stub = ServiceStub(channel)
        with pytest.raises(StatusError) as caught:
            async for _ in stub.chat([ChatReq(name="fail")], timeout=CALL_SECONDS):
                pass
        assert_bad_name(caught.value)
        replies = stub.chat([ChatReq(name="next")], timeout=CALL_SECONDS)
        assert [reply.message async for reply in replies] == ["Hello next"]

    async def test_deadline(self, channel: Channel) -> None:
        """Requests that never end are cut off at the deadline."""

        async def requests() -> AsyncIterator[ChatReq]:
            yield ChatReq(name="first")
            await asyncio.Event().wait()

        with pytest.raises(DeadlineExceededError):
            async for _ in ServiceStub(channel).chat(requests(), timeout=0.7):
                pass

    async def test_trailers(self, channel: Channel) -> None:
        """The trailers of a call that ended OK can be read, binary ones as bytes."""
        async with channel.request(
            CHAT, Cardinality.STREAM_STREAM, ChatReq, ChatRsp, timeout=CALL_SECONDS
        ) as stream:
            await stream.send_message(ChatReq(name="trailers"), end=True)
            assert await stream.recv_message() == ChatRsp(message="Hello trailers")
            assert await stream.recv_message() is None
            await stream.recv_trailing_metadata()
        assert stream.trailing_metadata is not None
        assert stream.trailing_metadata["chat-trailer"] == "set"
        assert stream.trailing_metadata["chat-trailer-bin"] == "設定 \x00".encode()

    async def test_unknown_method(self, channel: Channel) -> None:
        """A method the server does not have is UNIMPLEMENTED."""
        with pytest.raises(StatusError) as caught:
            async with channel.request(
                f"{CHAT}Aloud", Cardinality.STREAM_STREAM, ChatReq, ChatRsp, timeout=CALL_SECONDS
            ) as stream:
                await stream.send_message(ChatReq(name="Ada"), end=True)
                await stream.recv_message()
        assert caught.value.status is Status.UNIMPLEMENTED


class TestCompression:
    @pytest.mark.parametrize("name", ["gzip", "deflate"])
    async def test_grpcio(self, name: str) -> None:
        """grpcio reads what we compress, and we read its compressed replies."""
        with peers.grpcio_server(name) as server:
            async with Channel(server.host, server.port) as channel:
                for compression in ("identity", name):
                    async with open_chat(channel, compression) as stream:
                        await exchange(stream, [*TEXTS, "x" * MEGABYTE, *MESSAGES])
                        assert stream._stream.inbox.has_compressed

    async def test_grpc_go(self, go_binaries: Path) -> None:
        """grpc-go reads what we compress with gzip, and answers in kind."""
        with peers.go_server(go_binaries) as server:
            async with Channel(server.host, server.port, compression="gzip") as channel:
                async with open_chat(channel) as stream:
                    await exchange(stream, [*TEXTS, "x" * MEGABYTE, *MESSAGES])
                    assert stream._stream.inbox.has_compressed
                async with open_chat(channel, "identity") as stream:
                    await exchange(stream, ["x" * MEGABYTE])
                    assert not stream._stream.inbox.has_compressed

    async def test_a_server_that_does_not_read_it(self, go_binaries: Path) -> None:
        """grpc-go has no deflate: UNIMPLEMENTED, with its text."""
        with peers.go_server(go_binaries) as server:
            async with ChatClient(server.address, compression="deflate") as client:
                with pytest.raises(StatusError, match="deflate") as caught:
                    await client.receive()
        assert caught.value.status is Status.UNIMPLEMENTED


def open_chat(channel: Channel, compression: str | None = None) -> ClientStream:
    return channel.request(
        CHAT,
        Cardinality.STREAM_STREAM,
        ChatReq,
        ChatRsp,
        timeout=CALL_SECONDS,
        compression=compression,
    )


async def exchange(stream: ClientStream, names: list[str]) -> None:
    """Sends each name, and wants the reply to each."""
    await stream.send_request()
    for name in names:
        await stream.send_message(ChatReq(name=name))
        assert await stream.recv_message() == ChatRsp(message=f"Hello {name}")
    await stream.end()
    assert await stream.recv_message() is None


def assert_bad_name(error: StatusError) -> None:
    """The error is the one that both servers answer the name `fail` with."""
    assert isinstance(error, ChatifyError)
    assert error.status is Status.INVALID_ARGUMENT
    assert error.message == "名字不好 bad name"
    [detail] = error.details
    assert detail.type_url == "type.googleapis.com/google.rpc.ErrorInfo"
    info = ErrorInfo.FromString(detail.value)
    assert (info.reason, info.domain) == ("BAD_NAME", "chatify.example")
    assert dict(info.metadata) == {"name": "fail"}


def status_of(error: ChatifyError) -> Status:
    status = getattr(error, "status", None)
    assert isinstance(status, Status), f"{error!r} has no status"
    return status
