"""Brokers from `open` to `close`."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from chatify_stream.brokers.redis import RedisBroker
from chatify_stream.errors import BrokerError
from chatify_stream.rooms import Draft
from chatify_stream.testing import Recorder

TIMEOUT = 30.0
"""Seconds in which anything happens, or never does."""


@asynccontextmanager
async def opened(url: str, **options: Any) -> AsyncIterator[tuple[RedisBroker, Recorder]]:
    broker, recorder = RedisBroker(url, **options), Recorder()
    try:
        await broker.open(recorder)
        yield broker, recorder
    finally:
        await broker.close()
    assert recorder.faults == []


async def why_not(url: str) -> str:
    """Why it cannot be opened."""
    with pytest.raises(BrokerError) as caught:
        async with opened(url):
            pass
    assert "\n" not in str(caught.value)
    return str(caught.value)


def draft(text: object, message_id: str = "", user: str = "ada") -> Draft:
    return Draft(user, str(text), message_id, int(time.time() * 1000))


def drafts(texts: Iterable[object]) -> list[Draft]:
    """Without ids."""
    return [draft(text) for text in texts]


def texts_of(recorder: Recorder, room: str) -> list[str]:
    return [publication.text for publication in recorder.delivered[room]]
