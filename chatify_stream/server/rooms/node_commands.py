"""What the nodes that share a broker tell each other, and answer. No I/O.

Rules: a command is a word, a space, and a message of the Rooms service; so is the answer, without
the word. A node of another version may not know a command, or a field: it answers nothing to the
one, and passes over the other.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TypeVar

from ...messages.chatify.rooms import v1
from ...wire import decode_message

__all__ = ["ASK_NODE", "answer_to", "disconnect_command", "read_answers"]

log = logging.getLogger(__name__)

T = TypeVar("T", v1.DisconnectResponse, v1.Node)

NODE, DISCONNECT = b"node", b"disconnect"

ASK_NODE = NODE + b" "
"""Asks how a node is; answered by a `Node`."""


def disconnect_command(request: v1.DisconnectRequest) -> bytes:
    """Answered by a `DisconnectResponse`."""
    return DISCONNECT + b" " + bytes(request)


def answer_to(
    command: bytes,
    about: Callable[[], v1.Node],
    disconnect: Callable[[v1.DisconnectRequest], int],
) -> bytes:
    """Does what another node has told, and answers; raises nothing."""
    word, _, body = command.partition(b" ")
    try:
        if word == NODE:
            return bytes(about())
        if word == DISCONNECT:
            request = decode_message(body, v1.DisconnectRequest)
            return bytes(v1.DisconnectResponse(sessions=disconnect(request)))
        log.debug("another server tells what is not known here: %r", word[:20])
    except Exception:
        log.exception("what another server tells was not understood")
    return b""


def read_answers(kind: type[T], answers: Iterable[bytes]) -> list[T]:
    """Those that can be read."""
    found: list[T] = []
    for answer in answers:
        try:
            found.append(decode_message(answer, kind))
        except ValueError as error:
            log.error("what another server answers was not understood: %s", error)
    return found
