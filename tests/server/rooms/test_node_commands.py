"""Tests of the commands in server/rooms/node.py, and of the server's use of the answers."""

from __future__ import annotations

import logging

import pytest

from chatify_stream.brokers import Answers
from chatify_stream.errors import BrokerError
from chatify_stream.messages.chatify.rooms import v1
from chatify_stream.server.rooms.node import (
    ASK_NODE,
    Node,
    answer_to,
    disconnect_command,
    read_answers,
)

from .membership import node_of, room_server
from .moody_broker import MoodyBroker

REQUEST = v1.DisconnectRequest(user="小明", room="a b", reason="够了", reconnect=True)


class Target(Node):
    """Records the requests, and has three sessions of every user."""

    def __init__(self, asked: list[v1.DisconnectRequest]) -> None:
        self.asked = asked

    def describe(self) -> v1.Node:
        return v1.Node(id="here", pid=7)

    def disconnect(self, request: v1.DisconnectRequest) -> int:
        self.asked.append(request)
        return 3


def answer(command: bytes, asked: list[v1.DisconnectRequest] | None = None) -> bytes:
    return answer_to(command, Target([] if asked is None else asked))


def test_disconnect() -> None:
    """A request arrives unchanged, and its answer has the number of sessions."""
    asked: list[v1.DisconnectRequest] = []
    answered = answer(disconnect_command(REQUEST), asked)
    assert asked == [REQUEST]
    assert read_answers(v1.DisconnectResponse, [answered]) == [v1.DisconnectResponse(sessions=3)]


def test_node() -> None:
    """A node answers with its state."""
    assert read_answers(v1.Node, [answer(ASK_NODE)]) == [v1.Node(id="here", pid=7)]


def test_unknown_and_broken(caplog: pytest.LogCaptureFixture) -> None:
    """Unknown and invalid commands have an empty answer."""
    for command in (b"", b"dance ", b"nodes", b"\xff\x00 \n"):
        assert answer(command) == b""
    assert caplog.records == []
    asked: list[v1.DisconnectRequest] = []
    assert answer(b"disconnect \xff\xff\xff", asked) == b""
    assert asked == []
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_answers_that_cannot_be_read(caplog: pytest.LogCaptureFixture) -> None:
    """Invalid answers are logged and skipped; an empty answer is a message without fields."""
    answers = [b"\xff\xff\xff", b"", bytes(v1.DisconnectResponse(sessions=2))]
    assert [each.sessions for each in read_answers(v1.DisconnectResponse, answers)] == [0, 2]
    assert len(caplog.records) == 1


class TestServer:
    async def test_disconnect_everywhere(self) -> None:
        """The sessions of all servers are added up, and missing servers counted."""
        broker = MoodyBroker()
        broker.others = Answers([bytes(v1.DisconnectResponse(sessions=n)) for n in (2, 0, 5)], 1)
        async with room_server(broker=broker) as server:
            ended = await server.rooms.disconnect_everywhere("Ada", "a", reason="x")
        assert ended == (7, 1)
        request = v1.DisconnectRequest(user="Ada", room="a", reason="x")
        assert broker.told == [disconnect_command(request)]

    async def test_nodes(self) -> None:
        """The list has this server and those that answered, in order, without invalid answers."""
        broker = MoodyBroker()
        others = [v1.Node(id="2", host="\U0010ffff", pid=1), v1.Node(id="1", host=""), v1.Node()]
        broker.others = Answers([bytes(node) for node in others], 2)
        async with room_server(broker=broker) as server:
            nodes, missing = await server.rooms.nodes()
            own = node_of(server).describe()
        assert [node.id for node in nodes] == ["1", own.id, "2"]
        assert missing == 2
        assert own.address == f"127.0.0.1:{nodes[1].address.rpartition(':')[2]}"

    async def test_the_broker_is_away(self) -> None:
        """An unavailable broker raises BrokerError."""
        broker = MoodyBroker()
        broker.failing.add("survey")
        async with room_server(broker=broker) as server:
            with pytest.raises(BrokerError):
                await server.rooms.disconnect_everywhere("Ada")
            with pytest.raises(BrokerError):
                await server.rooms.nodes()
