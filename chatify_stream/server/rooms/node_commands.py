"""The surveys among the nodes that share a broker: commands and their answers. No I/O.

A command is a word, a space, and a message of the Rooms service. An answer is such a message alone.
Nodes of different versions may share a broker, so a node answers an unknown command with nothing
and ignores unknown fields.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Protocol, TypeVar

from ...messages.chatify.rooms import v1
from ...wire import decode_message

log = logging.getLogger(__name__)

T = TypeVar("T", v1.DisconnectResponse, v1.Node)

NODE, DISCONNECT = b"node", b"disconnect"

ASK_NODE = NODE + b" "
"""Asks for the state of a node; the answer is a `Node`."""


class CommandTarget(Protocol):
    """Carries out the commands of other nodes."""

    def describe(self) -> v1.Node:
        """Return the state of this node."""

    def disconnect(self, request: v1.DisconnectRequest) -> int:
        """End the sessions of a user on this node, and return their number."""


def disconnect_command(request: v1.DisconnectRequest) -> bytes:
    """Return the command to disconnect a user; the answer is a `DisconnectResponse`."""
    return DISCONNECT + b" " + bytes(request)


def answer_to(command: bytes, target: CommandTarget) -> bytes:
    """Carry out a command, and return the answer. Raises nothing."""
    word, _, body = command.partition(b" ")
    try:
        if word == NODE:
            return bytes(target.describe())
        if word == DISCONNECT:
            request = decode_message(body, v1.DisconnectRequest)
            return bytes(v1.DisconnectResponse(sessions=target.disconnect(request)))
        log.debug("ignoring an unknown command of another server: %r", word[:20])
    except Exception:
        log.exception("could not answer a command of another server")
    return b""


def read_answers(kind: type[T], answers: Iterable[bytes]) -> list[T]:
    """Decode answers. Those that are not valid are logged and left out."""
    found: list[T] = []
    for answer in answers:
        try:
            found.append(decode_message(answer, kind))
        except ValueError as error:
            log.error("ignoring an invalid answer of another server: %s", error)
    return found
