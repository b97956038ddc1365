"""The benchmark runs, and judges its figures rightly. How fast anything is, no test says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .bench.cases import CASES, SCALING, Case, Target
from .bench.measure import HAS_PROC
from .bench.peers import GRPC_GO, GRPCIO, NAMES, OURS
from .bench.table import scaling_table, speed_table, target_table
from .e2e.peers import find_tool

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 120

FASTER = Case("key", "title", "msg/s", (), targets=(Target(2, GRPCIO), Target(0.5, GRPC_GO)))
SMALLER = Case("key", "title", "kB", (), targets=(Target(28),), less_is_better=True)


def bench(*flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.bench", *flags],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        timeout=SECONDS,
    )


def cells(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]


def test_a_run() -> None:
    """Servers with and without TLS, clients and the series are measured and stand in tables."""
    find_tool("go")
    keys = ("fanout-100", "pingpong-tls", "client-flood")
    ran = bench("--rounds", "1", "--seconds", "0.02", "--only", *keys, "scaling")
    assert ran.returncode == 0, ran.stderr
    _, speeds, _, *series = ran.stdout.split("\n\n")
    assert [len(cells(table)) for table in series] == [len(SCALING)] * HAS_PROC
    titles = {case.title: case.who for case in CASES if case.key in keys}
    rows = {title: figures for title, _, *figures in cells(speeds)}
    assert rows.keys() == titles.keys()
    for title, who in titles.items():
        measured = [name for name, figure in zip(NAMES, rows[title], strict=True) if figure]
        assert measured == [name for name in NAMES if who == "servers" or name != "grpcio sync"]


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (("--only", "flod"), "flood-10x10"),
        (("--rounds", "0"), "--rounds is at least 1"),
        (("--seconds", "0"), "--seconds is more than 0"),
        (("--chart", "nowhere/chart.png"), "there is no folder nowhere"),
        (("--only", "scaling", "--chart", "chart.png"), "scaling has none"),
    ],
)
def test_wrong_flags(flags: tuple[str, ...], problem: str) -> None:
    """A flag that cannot be followed is refused before anything is measured."""
    ran = bench(*flags)
    assert ran.returncode == 2
    assert problem in ran.stderr


def test_medians_and_ratios() -> None:
    """A cell has the median of the rounds, and ours divided by it; who is not measured has none."""
    rounds = {
        OURS: [{"per_second": rate} for rate in (30_000, 10_000, 20_000)],
        GRPCIO: [{"per_second": rate} for rate in (9_000, 8_000, 1_000)],
    }
    assert cells(speed_table({FASTER: rounds})) == [
        ["title", "msg/s", "20,000", "", "8,000 (2.5)", "", ""]
    ]


def test_targets() -> None:
    """A target is met at its bound: the least where more is better, and else the most."""
    speeds = {
        OURS: [{"per_second": 2.0}],
        GRPCIO: [{"per_second": 1}],
        GRPC_GO: [{"per_second": 5}],
    }
    assert cells(target_table({FASTER: speeds})) == [
        ["title", "at least 2 × grpcio asyncio", "2", "met"],
        ["title", "at least 0.5 × grpc-go", "0.4", "MISSED"],
    ]
    for size, verdict in ((28.0, "met"), (28.1, "MISSED")):
        assert cells(target_table({SMALLER: {OURS: [{"per_second": size}]}})) == [
            ["title", "at most 28 kB", f"{size:g}", verdict]
        ]


def test_scaling() -> None:
    """The series is no comparison: it has a table of its own."""
    figures = {"server_us_per_message": 12.34, "per_second": 50_000, "server_kb_per_stream": 9.87}
    results = {SCALING[-1]: {OURS: [figures]}}
    assert cells(scaling_table(results)) == [["streams: 5,000", "12.3", "50,000", "9.87"]]
    assert speed_table(results) == target_table(results) == ""
