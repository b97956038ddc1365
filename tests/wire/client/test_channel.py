"""Tests of wire/client/channel.py: connections and their calls."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from h2.connection import H2Connection
from h2.events import RequestReceived

from chatify_stream.errors import ClosedError, DeadlineExceededError, UnavailableError, UsageError
from chatify_stream.wire import Backoff, Channel, ChannelState, Server

from ...support.frames import GOAWAY
from ..calling import call, failure, scripted_server
from ..lookups import Lookups
from ..peers import accepting, refusing, silent
from ..raw import frame
from ..services import Ask, Echo


@asynccontextmanager
async def servers(count: int) -> AsyncIterator[list[Server]]:
    """Start servers, each on its own port."""
    async with AsyncExitStack() as stack:
        started = []
        for _ in range(count):
            server = Server([Echo()])
            await server.start("127.0.0.1", 0)
            stack.push_async_callback(server.wait_closed)
            stack.callback(server.close)
            started.append(server)
        yield started


def addresses(servers: list[Server]) -> list[str]:
    return [f"127.0.0.1:{server.port}" for server in servers]


async def answer(channel: Channel, **options: object) -> str:
    """Make a call and return the server that answered it."""
    async with call(channel, **options) as stream:
        await stream.send_message(Ask(service="Ada"), end=True)
        assert (await stream.recv_message()).name == "Ada"
        return "{}:{}".format(*stream.peer.addr())


class TestConnections:
    async def test_refused(self) -> None:
        """If nothing listens, calls are UNAVAILABLE with the address and the reason."""
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            port = sock.getsockname()[1]
            async with Channel("127.0.0.1", port) as channel:
                error = await failure(channel)
        assert type(error) is UnavailableError
        assert error.message == f"cannot connect to 127.0.0.1:{port}: Connection refused"

    async def test_unknown_host(self) -> None:
        """An unknown host is UNAVAILABLE."""
        async with Channel("nowhere.invalid", 1) as channel:
            error = await failure(channel)
        assert "unknown host" in str(error)

    @pytest.mark.parametrize(("host", "port"), [("a..b", 1), ("a\0b", 1), ("127.0.0.1", 70000)])
    async def test_no_address(self, host: str, port: int) -> None:
        """An invalid host or port is a UsageError."""
        with pytest.raises(UsageError, match="is not an address"):
            Channel(host, port)

    async def test_no_answer(self) -> None:
        """A silent server is UNAVAILABLE after the connect timeout."""
        with silent() as address:
            async with Channel(target=address, connect_timeout=0.05) as channel:
                error = await failure(channel)
                assert channel.failure_message == error.message
        assert error.message == f"cannot connect to {address}: no answer within 0.05 s"

    async def test_it_is_made_again(self, service: Echo) -> None:
        """After a restart of the server, the next call reconnects."""
        server = Server([service])
        await server.start("127.0.0.1", 0)
        port = server.port
        async with Channel("127.0.0.1", port) as channel:
            await channel.connect()
            server.close()
            await server.wait_closed()
            assert type(await failure(channel)) is UnavailableError
            server = Server([service])
            await server.start("127.0.0.1", port)
            try:
                async with call(channel) as stream:
                    await stream.send_message(Ask(service="Ada"), end=True)
                    assert (await stream.recv_message()).name == "Ada"
            finally:
                server.close()
                await server.wait_closed()

    async def test_calls_share_an_attempt(self, server: Server) -> None:
        """Concurrent calls share one connection."""
        async with Channel("127.0.0.1", server.port) as channel:
            await asyncio.gather(*(channel.connect() for _ in range(20)))
            await channel.connect()
            assert server.connections == 1

    async def test_one_call_gives_up(self, server: Server) -> None:
        """Cancelling a call that connects does not affect the others."""
        async with Channel("127.0.0.1", server.port) as channel:
            first, second = (asyncio.create_task(channel.connect()) for _ in range(2))
            await asyncio.sleep(0)
            first.cancel()
            await second
            assert first.cancelled()

    async def test_closing_while_it_connects(self, server: Server) -> None:
        """Closing a channel that connects leaves no connection."""
        channel = Channel("127.0.0.1", server.port)
        connecting = asyncio.create_task(channel.connect())
        await asyncio.sleep(0)
        channel.close()
        with pytest.raises(ClosedError):
            await connecting
        await channel.wait_closed()
        while server.connections:
            await asyncio.sleep(0)

    async def test_closing_with_open_calls(self, server: Server) -> None:
        """Closing a channel ends its calls with ClosedError."""
        channel = Channel("127.0.0.1", server.port)
        with pytest.raises(ClosedError):
            async with call(channel) as stream:
                await stream.send_request()
                reading = asyncio.create_task(stream.recv_message())
                await asyncio.sleep(0)
                channel.close()
                await reading
        await channel.wait_closed()
        assert channel.is_closed

    async def test_a_unix_socket(self, service: Echo, tmp_path: Path) -> None:
        """A channel can connect to a Unix socket."""
        path = str(tmp_path / "chat.sock")
        async with Channel(path=path) as channel:
            assert channel.target == path
            assert str(await failure(channel)).endswith(f"{path}: No such file or directory")
            server = Server([service])
            await server.start(path=path)
            async with call(channel) as stream:
                await stream.send_message(Ask(service="Ada"), end=True)
                assert (await stream.recv_message()).name == "Ada"
            server.close()
            await server.wait_closed()

    async def test_forgotten(self, server: Server) -> None:
        """A channel that is dropped with an open connection warns and closes it."""
        channel = Channel("127.0.0.1", server.port)
        await channel.connect()
        with pytest.warns(ResourceWarning, match="was not closed"):
            del channel
        async with asyncio.timeout(10):
            while server.connections:
                await asyncio.sleep(0)


class TestArguments:
    def test_where_the_servers_are(self) -> None:
        """target, host and port, and path exclude each other."""
        for options in (
            {"host": "a", "target": "b"},
            {"port": 1, "target": "b"},
            {"path": "/a", "target": "b"},
            {"path": "/a", "host": "b"},
        ):
            with pytest.raises(UsageError, match="a target, or a host and a port, or a path"):
                Channel(**options)

    @pytest.mark.parametrize("target", ["", [], "a:1,b:0", ["a:1", 2], "dns://8.8.8.8/a"])
    async def test_wrong_targets(self, target: str | list[str]) -> None:
        """An invalid target is a UsageError."""
        with pytest.raises(UsageError):
            Channel(target=target)

    async def test_several_as_a_host(self) -> None:
        """Several addresses as host are an error that suggests target."""
        with pytest.raises(UsageError, match="several addresses are a target"):
            Channel(["a:1", "b:2"])

    async def test_balancing(self) -> None:
        """An unknown balancing is an error that lists the policies."""
        with pytest.raises(UsageError, match="'pick_first' or 'round_robin', not 'random'"):
            Channel(balancing="random")

    async def test_defaults(self) -> None:
        """The defaults are the address of grpclib, and port 9000 for a target."""
        assert Channel().target == "127.0.0.1:50051"
        assert Channel("::1").target == "[::1]:50051"
        assert Channel(target="dns:///chat, [::1]:1").target == "chat:9000,[::1]:1"


class TestSeveralAddresses:
    async def test_pick_first(self) -> None:
        """All calls go to the first address that works, and to the next one after its loss."""
        async with servers(2) as (first, second):
            target = addresses([first, second])
            async with Channel(target=target) as channel:
                assert {await answer(channel) for _ in range(4)} == {target[0]}
                first.close()
                await first.wait_closed()
                assert {await answer(channel) for _ in range(4)} == {target[1]}
                assert (first.connections, second.connections) == (0, 1)

    async def test_a_dead_one(self) -> None:
        """A dead address, refusing or silent, does not prevent calls to another."""
        async with servers(1) as live:
            for dead in (refusing, silent):
                with dead() as address:
                    async with Channel(target=[address, *addresses(live)]) as channel:
                        assert {await answer(channel) for _ in range(4)} == {*addresses(live)}

    async def test_all_dead(self) -> None:
        """The error names each dead address with its reason. Then calls fail immediately."""
        with refusing() as first, silent() as second:
            async with Channel(target=[first, second], connect_timeout=0.3) as channel:
                text = (
                    f"cannot connect to any of 2 addresses: {first}: Connection refused; "
                    f"{second}: no answer within 0.3 s"
                )
                for _ in range(3):
                    error = await failure(channel)
                    assert type(error) is UnavailableError
                    assert error.message == text

    async def test_round_robin(self) -> None:
        """Servers take turns. A stopped server is skipped until it is back."""
        async with servers(3) as started:
            target = addresses(started)
            backoff = Backoff(initial=0.001, maximum=0.001)
            async with Channel(target=target, balancing="round_robin", backoff=backoff) as channel:
                async with asyncio.timeout(10):
                    while {await answer(channel) for _ in range(3)} != set(target):
                        pass
                gone = started[0]
                port = gone.port
                gone.close()
                await gone.wait_closed()
                assert {await answer(channel) for _ in range(6)} == set(target[1:])
                back = Server([Echo()])
                await back.start("127.0.0.1", port)
                async with asyncio.timeout(10):
                    while {await answer(channel) for _ in range(3)} != set(target):
                        pass
                back.close()
                await back.wait_closed()

    async def test_a_name(self, lookups: Lookups) -> None:
        """A name resolves to the current addresses in DNS."""
        async with servers(1) as (server,):
            lookups.found["chat"] = ["127.0.0.1"]
            async with Channel(target=f"dns:///chat:{server.port}") as channel:
                assert await answer(channel) == f"127.0.0.1:{server.port}"
                assert channel.target == f"chat:{server.port}"
                assert lookups.asked == ["chat"]

    async def test_the_authority(self) -> None:
        """The authority of a call is the configured name of its address."""
        names = []

        def behave(h2: H2Connection, event: RequestReceived) -> None:
            names.append(dict(event.headers)[":authority"])

        async with scripted_server(behave) as scripted:
            port = scripted.target.rpartition(":")[2]
            with refusing() as dead:
                async with Channel(target=[dead, f"localhost:{port}"]) as channel:
                    await failure(channel, timeout=0.2)
        assert names == [f"localhost:{port}"]


class TestWaitForReady:
    async def test_the_server_comes(self, service: Echo) -> None:
        """Calls and `connect` with wait_for_ready succeed when the server starts."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
            backoff = Backoff(0.001, maximum=0.01)
            async with Channel("127.0.0.1", port, backoff=backoff) as channel:
                connecting = asyncio.create_task(channel.connect(wait_for_ready=True))
                waiting = asyncio.create_task(answer(channel, wait_for_ready=True))
                while channel.state is not ChannelState.TRANSIENT_FAILURE:
                    await asyncio.sleep(0)
                taken.close()
                server = Server([service])
                await server.start("127.0.0.1", port)
                async with asyncio.timeout(10):
                    await connecting
                    assert await waiting == f"127.0.0.1:{port}"
                server.close()
                await server.wait_closed()

    async def test_the_deadline(self) -> None:
        """A call waits until its deadline. The error has the connection failure."""
        with refusing() as address:
            async with Channel(target=address) as channel:
                error = await failure(channel, wait_for_ready=True, timeout=0.05)
        assert type(error) is DeadlineExceededError
        assert error.message == (
            f"the deadline of the call has passed: cannot connect to {address}: Connection refused"
        )


class TestState:
    async def test_states(self, service: Echo) -> None:
        """The state is idle, connecting, ready, idle after a loss, failed, and shut down."""
        server = Server([service])
        await server.start("127.0.0.1", 0)
        channel = Channel("127.0.0.1", server.port)
        seen = []

        async def watch() -> None:
            state = channel.state
            seen.append(state)
            while state is not ChannelState.SHUTDOWN:
                state = await channel.wait_for_state_change(state)
                seen.append(state)

        watching = asyncio.create_task(watch())
        await asyncio.sleep(0)
        await answer(channel)
        server.close()
        await server.wait_closed()
        while channel.state is not ChannelState.IDLE:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        await failure(channel)
        await asyncio.sleep(0)
        channel.close()
        await asyncio.wait_for(watching, 10)
        await channel.wait_closed()
        assert seen == [
            ChannelState.IDLE,
            ChannelState.CONNECTING,
            ChannelState.READY,
            ChannelState.IDLE,
            ChannelState.CONNECTING,
            ChannelState.TRANSIENT_FAILURE,
            ChannelState.SHUTDOWN,
        ]

    async def test_after_the_end(self) -> None:
        """Waiting for a change after SHUTDOWN is an error."""
        channel = Channel()
        channel.close()
        with pytest.raises(ClosedError):
            await channel.wait_for_state_change(ChannelState.SHUTDOWN)


class TestClosing:
    @pytest.mark.parametrize("seed", range(5))
    async def test_at_any_time(self, seed: int) -> None:
        """Closing a channel at any time ends its calls and leaves no task."""
        chance = random.Random(seed)

        async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            pass

        async with servers(2) as live, accepting(hang_up) as rude:
            with refusing() as first, silent() as second:
                everyone = [first, second, rude, *addresses(live)]
                for _ in range(10):
                    channel = Channel(
                        target=chance.sample(everyone, chance.randint(1, 4)),
                        balancing=chance.choice(["pick_first", "round_robin"]),
                        backoff=Backoff(0.001),
                        connect_timeout=0.01,
                    )
                    calls = [
                        asyncio.create_task(answer(channel, wait_for_ready=chance.random() < 0.5))
                        for _ in range(10)
                    ]
                    for _ in range(chance.randrange(100)):
                        await asyncio.sleep(0)
                    channel.close()
                    for result in await asyncio.gather(*calls, return_exceptions=True):
                        assert isinstance(result, str | ClosedError | UnavailableError), result
                    await channel.wait_closed()
                    assert channel._pool._tasks == set()
                    assert len(channel._pool.connections) == 0


class TestGoaway:
    async def test_streams_that_the_server_did_not_take(self) -> None:
        """A GOAWAY that excludes a call makes it UNAVAILABLE immediately."""

        def behave(h2: H2Connection, event: RequestReceived) -> None:
            if event.stream_id == 3:
                h2._data_to_send += frame(GOAWAY, 0, 0, (1).to_bytes(4, "big") + bytes(4))

        async with scripted_server(behave) as channel, call(channel) as first:
            await first.send_request()
            with pytest.raises(UnavailableError, match="REFUSED_STREAM"):
                async with call(channel) as second:
                    await second.send_request(end=True)
                    await second.recv_message()
            await first.cancel()

    async def test_an_idle_channel(self, server: Server, caplog: pytest.LogCaptureFixture) -> None:
        """An idle connection is closed after a GOAWAY, whatever else was in the read."""
        async with Channel("127.0.0.1", server.port) as channel:
            async with call(channel) as stream:
                await stream.send_message(Ask(service="Ada"), end=True)
                assert (await stream.recv_message()).name == "Ada"
            await asyncio.wait_for(server.drain(60), 10)
            assert not channel._connected
            await channel.wait_closed()
        assert caplog.records == []

    async def test_a_goaway_with_an_error(self) -> None:
        """A GOAWAY with an error ends the calls."""

        def behave(h2: H2Connection, event: RequestReceived) -> None:
            h2._data_to_send += frame(
                GOAWAY, 0, 0, (1).to_bytes(4, "big") + (11).to_bytes(4, "big")
            )

        async with scripted_server(behave) as channel:
            assert type(await failure(channel)) is UnavailableError
