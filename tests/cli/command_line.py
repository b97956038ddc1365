"""The commands as processes that run to their end."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

COMMAND = (sys.executable, "-m", "chatify_stream")
SECONDS = 60.0


@dataclass(frozen=True)
class Finished:
    """A command that has ended."""

    status: int
    stdout: str
    stderr: str


def run(
    *args: str | bytes | Path,
    stdin: str | bytes = b"",
    command: Sequence[str | Path] = COMMAND,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Finished:
    """Runs `chatify-stream ARGS`; `env` is added to the environment of the tests."""
    done = subprocess.run(
        [*command, *args],
        input=stdin.encode() if isinstance(stdin, str) else stdin,
        capture_output=True,
        timeout=SECONDS,
        check=False,
        cwd=cwd,
        env={**os.environ, **(env or {})},
    )
    return Finished(done.returncode, done.stdout.decode(), done.stderr.decode())


WITHOUT = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())

from chatify_stream.cli import main
main(sys.argv[2:])
"""


def run_without(package: str, *args: str) -> Finished:
    """Runs `chatify-stream ARGS` as if `package` were not installed."""
    return run(package, *args, command=(sys.executable, "-c", WITHOUT))
