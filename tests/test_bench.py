"""The benchmark runs, and judges its figures rightly. How fast anything is, no test says."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from .bench.cases import BESIDE, CASES, ROOM_CASES, SCALING, Case, Target
from .bench.measure import HAS_PROC, Bench
from .bench.peers import GRPC_GO, GRPCIO, NAMES, OURS, build_binaries, pairs
from .bench.table import own_table, scaling_table, speed_table, target_table
from .e2e.processes import ListeningProcess, ProcessFailed
from .support.tools import find_tool

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 120

FASTER = Case("key", "title", "msg/s", (), targets=(Target(2, GRPCIO), Target(0.5, GRPC_GO)))
SMALLER = Case("key", "title", "kB", (), targets=(Target(28),), less_is_better=True)
LARGE = Case("large", "large rooms", "µs", (), less_is_better=True, who="our server")
SMALL = replace(
    LARGE, key="small", title="small rooms", targets=(Target(1, BESIDE),), beside="large"
)

MEASURABLE = [case for case in ROOM_CASES if HAS_PROC or not case.needs_proc]

MANY = {"--connections": 20, "--streams": 5, "--members": 10}
"""How many a short run has at most."""


def bench(*flags: str, command: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    """Runs it, by a command that runs commands."""
    return subprocess.run(
        [*command, sys.executable, "-m", "tests.bench", *flags],
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


def shortened(case: Case) -> Case:
    """The same with fewer connections, streams and members."""
    load = list(case.load)
    for flag, most in MANY.items():
        if flag in load:
            place = load.index(flag) + 1
            load[place] = f"{min(int(load[place]), most)}"
    return replace(case, load=tuple(load))


@pytest.mark.parametrize("case", MEASURABLE, ids=[case.key for case in MEASURABLE])
def test_rooms(case: Case, tmp_path: Path) -> None:
    """Everyone whose rooms are measured serves them, and every message is as it should be."""
    bench = Bench(0.02, None, tmp_path / "no certificate", tmp_path / "no key")
    for pair in pairs(case.who, build_binaries()).values():
        assert bench.measure(shortened(case), pair)[case.figure] > 0


@pytest.mark.skipif(not HAS_PROC, reason="the case needs Linux' /proc")
def test_metrics(tmp_path: Path) -> None:
    """Our server is measured while it is asked for its metrics."""
    bench = Bench(0.02, None, tmp_path / "no certificate", tmp_path / "no key")
    [case] = [case for case in CASES if case.key == "flood-metrics"]
    pair = pairs(case.who, build_binaries())[OURS]
    assert bench.measure(case, pair)[case.figure] > 0
    not_served = replace(case, server=("--broker", "{metrics}"))
    with pytest.raises(ProcessFailed):
        bench.measure(not_served, pair)


@pytest.mark.skipif(not HAS_PROC, reason="the case needs Linux' /proc, too")
def test_too_few_open_files() -> None:
    """A case that needs more connections than the system allows is left out, and named."""
    find_tool("go")
    ran = bench("--only", "members-alone", command=("sh", "-c", 'ulimit -n 256; exec "$@"', "sh"))
    assert ran.returncode == 0, ran.stderr
    assert "left out: it needs 10,000 open files (ulimit -n)" in ran.stderr
    assert "kB" not in ran.stdout


def test_a_broker_that_cannot_be_used() -> None:
    """A server that does not start says why in its last line."""
    find_tool("go")
    server = pairs("our server", build_binaries())[OURS].server
    with pytest.raises(ProcessFailed, match=r"--- stderr\n[^\n]*nowhere[^\n]*\n$"):
        ListeningProcess(*server, "--broker", "sqlite:////nowhere/rooms.db").start()


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


def test_cases_beside_each_other() -> None:
    """Our own figure in another case is a measure, too: the median of the rounds' ratios."""
    large = [{"per_second": value} for value in (1.0, 2.0, 3.0)]
    small = [{"per_second": value} for value in (2.0, 1.0, 3.0)]
    results = {LARGE: {OURS: large}, SMALL: {OURS: small}}
    assert speed_table(results) == ""
    assert cells(own_table(results)) == [
        ["large rooms", "µs, less is better", "2", "", ""],
        ["small rooms", "µs, less is better", "2", "1", "large rooms"],
    ]
    assert cells(target_table(results)) == [["small rooms", "at most 1 × large", "1", "met"]]


def test_a_case_without_the_one_beside_it() -> None:
    """What was not measured is not judged."""
    results = {SMALL: {OURS: [{"per_second": 1.0}]}}
    assert cells(own_table(results)) == [["small rooms", "µs, less is better", "1", "", ""]]
    assert target_table(results) == ""
