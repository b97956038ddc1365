"""The Rooms service: `History`, over real connections."""

from __future__ import annotations

from typing import Any

import pytest

from chatify_stream import (
    Status,
)
from chatify_stream.messages.chatify.rooms.v1 import (
    HistoryRequest,
    ListRoomsRequest,
    Message,
    Position,
)
from chatify_stream.rooms import Retention

from .rooms_client import bad_names, error_of, member, offsets, rooms_server, said


class TestHistory:
    async def test_messages(self) -> None:
        """Messages arrive complete, oldest first, with the newest position and oldest offset."""
        async with rooms_server() as (server, stub):
            epoch = await said(server, "a", 3)
            answer = await stub.history(HistoryRequest(room="a"))
        times = [message.sent_at_ms for message in answer.messages]
        assert times == sorted(times)
        assert answer.messages == [
            Message(offset=n, user="Ada", text=str(n), sent_at_ms=ms)
            for n, ms in zip((1, 2, 3), times, strict=True)
        ]
        assert answer.newest == Position(epoch=epoch, offset=3)
        assert answer.oldest_offset == 1

    @pytest.mark.parametrize(
        ("request_", "expected"),
        [
            ({"limit": 2}, [1, 2]),
            ({"limit": 100}, [1, 2, 3, 4, 5]),
            ({"after": Position()}, [1, 2, 3, 4, 5]),
            ({"after": Position(offset=3)}, [4, 5]),
            ({"after": Position(offset=3), "limit": 1}, [4]),
            ({"after": Position(offset=5)}, []),
            ({"after": Position(offset=6)}, []),
            ({"after": Position(offset=2**63 - 1)}, []),
            ({"backwards": True}, [5, 4, 3, 2, 1]),
            ({"backwards": True, "limit": 2}, [5, 4]),
            ({"backwards": True, "before": 4}, [3, 2, 1]),
            ({"backwards": True, "before": 4, "limit": 2}, [3, 2]),
            ({"backwards": True, "before": 1}, []),
            ({"backwards": True, "before": 2**63 - 1, "limit": 1}, [5]),
        ],
    )
    async def test_which(self, request_: dict[str, Any], expected: list[int]) -> None:
        """`after` and `before` select messages, up to a limit, in both directions."""
        async with rooms_server() as (server, stub):
            await said(server, "a", 5)
            answer = await stub.history(HistoryRequest(room="a", **request_))
        assert offsets(answer) == expected
        assert (answer.newest.offset, answer.oldest_offset) == (5, 1)

    @pytest.mark.parametrize("backwards", [False, True])
    async def test_across_pages(self, backwards: bool) -> None:
        """Paging returns each message of the room once, in both directions."""
        async with rooms_server() as (server, stub):
            epoch = await said(server, "a", 2500)
            got: list[int] = []
            sizes = []
            while True:
                request = HistoryRequest(room="a", limit=1000, backwards=backwards)
                if got and backwards:
                    request.before = got[-1]
                elif got:
                    request.after = Position(epoch=epoch, offset=got[-1])
                answer = await stub.history(request)
                if not answer.messages:
                    break
                sizes.append(len(answer.messages))
                got += offsets(answer)
                if backwards and got[-1] == answer.oldest_offset:
                    break
        assert sizes == [1000, 1000, 500]
        assert got == list(range(2500, 0, -1) if backwards else range(1, 2501))

    @pytest.mark.parametrize(
        ("limit", "number"), [(0, 100), (1, 1), (1000, 1000), (1001, 1000), (2**32 - 1, 1000)]
    )
    async def test_limits(self, limit: int, number: int) -> None:
        """A limit of 0 is 100, and a page has at most 1000 messages."""
        async with rooms_server() as (server, stub):
            await said(server, "a", 1010)
            answer = await stub.history(HistoryRequest(room="a", limit=limit))
            back = await stub.history(HistoryRequest(room="a", limit=limit, backwards=True))
        assert offsets(answer) == list(range(1, number + 1))
        assert offsets(back) == list(range(1010, 1010 - number, -1))

    async def test_large_texts(self) -> None:
        """A page ends early rather than exceed the size that clients accept."""
        async with rooms_server() as (server, stub):
            for _ in range(40):
                await server.rooms.publish("a", "Ada", "小" * 21_000)
            answer = await stub.history(HistoryRequest(room="a", limit=1000))
            number = len(answer.messages)
            assert 1 < number < 40
            assert len(bytes(answer)) < 4 * 1024 * 1024 / 2
            assert (answer.newest.offset, answer.oldest_offset) == (40, 1)
            back = await stub.history(HistoryRequest(room="a", limit=1000, backwards=True))
            assert offsets(back) == list(range(40, 40 - number, -1))
            rest = await stub.history(
                HistoryRequest(room="a", after=Position(offset=number), limit=1000)
            )
            assert offsets(rest)[0] == number + 1

    async def test_one_large_text(self) -> None:
        """A single message is returned, whatever its size."""
        async with rooms_server(max_message_size=3 * 1024 * 1024) as (server, stub):
            for _ in range(2):
                await server.rooms.publish("a", "Ada", "x" * 2 * 1024 * 1024)
            assert offsets(await stub.history(HistoryRequest(room="a"))) == [1]
            assert offsets(await stub.history(HistoryRequest(room="a", backwards=True))) == [2]

    async def test_not_everything_is_kept(self) -> None:
        """Messages dropped by retention are missing, and the oldest offset says so."""
        async with rooms_server(retention=Retention(count=3)) as (server, stub):
            await said(server, "a", 10)
            answer = await stub.history(HistoryRequest(room="a"))
            assert offsets(answer) == [8, 9, 10]
            assert answer.oldest_offset == 8
            after = await stub.history(HistoryRequest(room="a", after=Position(offset=2)))
            assert offsets(after) == [8, 9, 10]
            before = await stub.history(HistoryRequest(room="a", backwards=True, before=8))
            assert offsets(before) == []

    async def test_nothing_is_kept(self) -> None:
        """If nothing is stored, the oldest offset is the one after the newest."""
        async with rooms_server(retention=Retention(count=0)) as (server, stub):
            async with member(server, "a", "Ada"):
                await said(server, "a", 3)
                answer = await stub.history(HistoryRequest(room="a"))
        assert (offsets(answer), answer.newest.offset, answer.oldest_offset) == ([], 4, 5)

    async def test_unused_room(self) -> None:
        """An unused room is empty, and a request does not create it."""
        async with rooms_server() as (_, stub):
            answer = await stub.history(HistoryRequest(room="never"))
            assert (offsets(answer), answer.newest.offset, answer.oldest_offset) == ([], 0, 1)
            assert answer.newest.epoch != ""
            assert (await stub.list_rooms(ListRoomsRequest())).rooms == []

    async def test_epoch(self) -> None:
        """A position with the epoch of the log works, the newest one too."""
        async with rooms_server() as (server, stub):
            epoch = await said(server, "a", 5)
            for offset in range(6):
                after = Position(epoch=epoch, offset=offset)
                answer = await stub.history(HistoryRequest(room="a", after=after))
                assert offsets(answer) == list(range(offset + 1, 6))

    @pytest.mark.parametrize(
        ("epoch", "offset"),
        [
            pytest.param("another", 8, id="another epoch"),
            pytest.param("another", 0, id="another epoch, from the beginning"),
            pytest.param("x" * 100_000, 8, id="no epoch at all"),
            pytest.param(None, 6, id="dropped"),
            pytest.param(None, 11, id="of the future"),
        ],
    )
    async def test_out_of_range(self, epoch: str | None, offset: int) -> None:
        """A position whose next messages are not stored is OUT_OF_RANGE."""
        async with rooms_server(retention=Retention(count=3)) as (server, stub):
            own = await said(server, "a", 10)
            after = Position(epoch=own if epoch is None else epoch, offset=offset)
            status, text = await error_of(stub.history(HistoryRequest(room="a", after=after)))
            assert status is Status.OUT_OF_RANGE
            assert text == (
                "after: the room does not have all messages after this position; its newest "
                f"message is at {own}/10, its oldest has the offset 8"
            )
            last = await stub.history(HistoryRequest(room="a", after=Position(epoch=own, offset=7)))
            assert offsets(last) == [8, 9, 10]

    @pytest.mark.parametrize(
        ("request_", "text"),
        [
            ({"before": 3}, "before: only allowed with backwards; use after to read forwards"),
            (
                {"before": 3, "after": Position(offset=1)},
                "before: only allowed with backwards; use after to read forwards",
            ),
            (
                {"backwards": True, "after": Position(offset=1)},
                "after: not allowed with backwards; use before",
            ),
            (
                {"backwards": True, "after": Position()},
                "after: not allowed with backwards; use before",
            ),
            (
                {"after": Position(offset=2**63)},
                "the offset is too large; at most 9223372036854775807 is allowed",
            ),
            (
                {"backwards": True, "before": 2**64 - 1},
                "the offset is too large; at most 9223372036854775807 is allowed",
            ),
        ],
    )
    async def test_wrong(self, request_: dict[str, Any], text: str) -> None:
        """Contradictory or impossible requests are INVALID_ARGUMENT."""
        async with rooms_server() as (_, stub):
            error = await error_of(stub.history(HistoryRequest(room="a", **request_)))
        assert error == (Status.INVALID_ARGUMENT, text)

    @bad_names
    async def test_bad_name(self, name: str, why: str) -> None:
        """An invalid name is INVALID_ARGUMENT, with the reason."""
        async with rooms_server() as (_, stub):
            status, text = await error_of(stub.history(HistoryRequest(room=name)))
        assert status is Status.INVALID_ARGUMENT
        assert why in text
