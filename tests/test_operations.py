"""Test that the dashboard, the alert rules and the documentation match the metrics."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client.metrics_core import Metric

from chatify_stream import ChatClient, ChatServer, MetricsOptions

from .server.metrics.scraping import scrape

DOCS = Path(__file__).resolve().parents[1] / "docs"
DASHBOARD = DOCS / "operations" / "grafana-dashboard.json"
ALERTS = DOCS / "operations" / "prometheus-alerts.yml"

PROMETHEUS_OWN = {"up": {"job", "instance"}}
TARGET_LABELS = {"job", "instance"}
"""Labels that Prometheus adds."""

VARIABLES = {"$__rate_interval": "5m", "$job": "chatify-stream", "$instance": ".+"}


@pytest.fixture
async def families() -> dict[str, Metric]:
    """The metrics of a server that has served a call."""
    async with ChatServer(metrics=MetricsOptions(port=0)) as server:
        await server.start("127.0.0.1", 0)
        async with ChatClient(f"127.0.0.1:{server.port}") as chat:
            await chat.send("gene")
            await chat.close_and_recv()
        return (await scrape(server)).families


@pytest.fixture
def known(families: dict[str, Metric]) -> dict[str, set[str]]:
    """Return the names of the series that exist, with their labels."""
    known = dict(PROMETHEUS_OWN)
    for family in families.values():
        labels = {label for sample in family.samples for label in sample.labels}
        for name in {sample.name for sample in family.samples} or {family.name}:
            known[name] = labels | TARGET_LABELS
    return known


def selectors(node: Any) -> Iterator[tuple[str, set[str]]]:
    """Return the series in an expression, and the labels that it selects by."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node.name, {matcher.name for matcher in node.matchers.matchers}
    for name in ("vs", "vector_selector", "expr", "lhs", "rhs", "param"):
        if (child := getattr(node, name, None)) is not None:
            yield from selectors(child)
    for argument in getattr(node, "args", None) or ():
        yield from selectors(argument)


def check(expression: str, known: dict[str, set[str]]) -> set[str]:
    """Parse an expression, and return the names in it."""
    for variable, value in VARIABLES.items():
        expression = expression.replace(variable, value)
    found = list(selectors(promql_parser.parse(expression)))
    assert found, expression
    for name, labels in found:
        assert name in known, expression
        assert labels <= known[name], expression
    return {name for name, _ in found}


def dashboard_expressions() -> list[str]:
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    panels = [
        target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())
    ]
    notes = [each["expr"] for each in dashboard["annotations"]["list"]]
    asked = [
        re.fullmatch(r"label_values\((.*), \w+\)", each["definition"])
        for each in dashboard["templating"]["list"]
        if "definition" in each
    ]
    return [*panels, *notes, *(match[1] for match in asked if match is not None)]


def test_the_dashboard(known: dict[str, set[str]]) -> None:
    """The dashboard uses existing series, and shows all metrics of the server."""
    names = {name for expression in dashboard_expressions() for name in check(expression, known)}
    own = {name for name in known if name.startswith(("chatify_", "grpc_"))}
    shown = {re.sub(r"_(bucket|sum|count)$", "", name) for name in names}
    hidden = {re.sub(r"_(bucket|sum|count)$", "", name) for name in own} - shown
    assert hidden == {"chatify_tls_certificate_expiry_timestamp_seconds"}


def test_panels_do_not_overlap() -> None:
    """Each panel of the dashboard has its own id and place."""
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24


def test_the_alerts(known: dict[str, set[str]]) -> None:
    """Each rule has its own name, an expression with existing series, and a description."""
    [group] = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    names = [rule["alert"] for rule in group["rules"]]
    assert len(set(names)) == len(names)
    for rule in group["rules"]:
        assert rule.keys() == {"alert", "expr", "for", "labels", "annotations"}
        check(rule["expr"], known)
        assert re.fullmatch(r"\d+[smh]", rule["for"])
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"]["summary"].endswith(".")


def test_the_table(families: dict[str, Metric]) -> None:
    """The table in the documentation has every metric, with its help text."""
    text = (DOCS / "reference" / "metrics.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*?) ?\| (.+) \|$", text, re.MULTILINE)
    documented = {
        name: (kind, set(re.findall(r"`(\w+)`", labels)), doc) for name, kind, labels, doc in rows
    }
    told = {}
    for family in families.values():
        if not family.name.startswith(("chatify_", "grpc_")):
            continue
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        told[name] = (family.type, labels, family.documentation)
    assert documented == told
