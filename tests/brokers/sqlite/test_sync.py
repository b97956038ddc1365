"""In the order of its system calls: written, synced, and only then acknowledged."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ...support.tools import find_tool
from .publisher import text_of

WRITES = {"write", "pwrite64", "writev", "pwritev", "pwritev2"}
SYNCS = {"fsync", "fdatasync"}
STARTED = re.compile(
    r"(?P<thread>\d+) +(?P<call>\w+)\((?P<number>\d+)<(?P<path>[^>]*)>(?P<rest>.*)"
)
RESUMED = re.compile(r"(?P<thread>\d+) +<\.\.\. \w+ resumed>(?P<rest>.*)")


@dataclass
class Call:
    """A system call. The lines of the trace in which it began and ended say when."""

    name: str
    file: str
    arguments: str
    began: int
    ended: int

    @property
    def succeeded(self) -> bool:
        result = self.arguments.rpartition(" = ")[2]
        return result.isdecimal()


def parse(trace: str) -> list[Call]:
    calls: list[Call] = []
    unfinished: dict[str, Call] = {}
    for number, line in enumerate(trace.splitlines()):
        if match := STARTED.match(line):
            file = "stdout" if match["number"] == "1" else Path(match["path"]).name
            call = Call(match["call"], file, match["rest"], number, number)
            calls.append(call)
            if match["rest"].endswith("<unfinished ...>"):
                unfinished[match["thread"]] = call
        elif match := RESUMED.match(line):
            call = unfinished.pop(match["thread"])
            call.arguments += match["rest"]
            call.ended = number
    assert unfinished == {}
    return calls


def test_synced_before_it_is_acknowledged(tmp_path: Path) -> None:
    """Each message is in the log, that is synced, its mark is, and then comes its receipt."""
    output, tasks, each = tmp_path / "trace", 5, 40
    strace: list[str | Path] = [find_tool("strace"), "-f", "-y", "-s", "5000", "-o", output]
    strace += ["-e", f"trace={','.join([*WRITES, *SYNCS])}"]
    program = [sys.executable, "-m", "tests.brokers.sqlite.publisher", tmp_path / "chat.db"]
    program += ["run", "3", str(tasks), "1000", str(each)]
    subprocess.run(
        [*strace, *program],
        stdout=subprocess.DEVNULL,
        timeout=120,
        check=True,
    )
    calls = [call for call in parse(output.read_text(errors="replace")) if call.succeeded]

    def synced(file: str, content: str, after: int) -> int:
        """When what was written first with this content had been synced."""
        written = next(
            call.ended
            for call in calls
            if call.name in WRITES
            and call.file == file
            and call.began > after
            and content in call.arguments
        )
        return next(
            call.ended
            for call in calls
            if call.name in SYNCS and call.file == file and call.began > written
        )

    receipts = [call for call in calls if call.file == "stdout" and "run-" in call.arguments]
    assert len(receipts) == tasks * each
    for receipt in receipts:
        message_id = receipt.arguments.split()[2]
        in_the_log = synced("chat.db-wal", text_of(message_id), 0)
        assert synced("chat.db-mark", "had committed", in_the_log) < receipt.began
