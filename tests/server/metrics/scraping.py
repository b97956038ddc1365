"""Scrape a server as Prometheus does, with prometheus_client's parser."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from http.client import HTTPConnection, HTTPResponse

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from chatify_stream import ChatServer

SECONDS = 20


class Scrape:
    """The metrics in one response."""

    def __init__(self, text: str) -> None:
        self.families: dict[str, Metric] = {
            family.name: family for family in text_string_to_metric_families(text)
        }
        self._samples = [sample for each in self.families.values() for sample in each.samples]

    @property
    def series(self) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
        return {(each.name, tuple(sorted(each.labels.items()))) for each in self._samples}

    def value(self, name: str, **labels: str) -> float:
        """Return the value of the only sample with these labels."""
        [value] = self.values(name, **labels)
        return value

    def values(self, name: str, **labels: str) -> list[float]:
        return [
            each.value
            for each in self._samples
            if each.name == name and labels.items() <= each.labels.items()
        ]


async def get(
    port: int, path: str = "/metrics", headers: Mapping[str, str] | None = None
) -> tuple[HTTPResponse, str]:
    """Send a GET from a thread, because the event loop collects the metrics meanwhile."""

    def ask() -> tuple[HTTPResponse, str]:
        connection = HTTPConnection("127.0.0.1", port, timeout=SECONDS)
        try:
            connection.request("GET", path, headers=dict(headers or {}))
            response = connection.getresponse()
            return response, response.read().decode()
        finally:
            connection.close()

    return await asyncio.to_thread(ask)


async def scrape(server: ChatServer) -> Scrape:
    response, text = await get(server.metrics_port)
    assert response.status == 200, text
    return Scrape(text)


async def scrape_until(server: ChatServer, condition: Callable[[Scrape], bool]) -> Scrape:
    """Scrape until the condition is true."""
    async with asyncio.timeout(SECONDS):
        while not condition(found := await scrape(server)):
            pass
    return found


def scraped(registry: CollectorRegistry) -> Scrape:
    """Return the metrics of a registry, collected in the event loop."""
    return Scrape(generate_latest(registry).decode())
