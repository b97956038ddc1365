"""Every command and snippet of the documentation does what it says.

Blocks are taken in the order in which they stand, so a reader who follows the text from top to
bottom sees the same:

- `sh`: starts a server, which runs until the same command is started again;
- `console`: each line after `$ ` is a command that ends with status 0, and the lines under it are
  all that it prints;
- `python`: a program that ends with status 0;
- `toml`: a configuration, or a part of one, without a problem.

The ports stand for free ones.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from chatify_stream import Limits
from chatify_stream.config import all_settings, load

from .e2e.processes import ListeningProcess
from .ports import free_port

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SECONDS = 60

# It installs and runs these very tests; .ci/run calls it.
TEST_COMMAND = "python3 -m venv .venv && .venv/bin/pip install tox && .venv/bin/tox"


def name_of(document: Path) -> str:
    return document.relative_to(ROOT).as_posix()


class Reader:
    """Does what a document says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = {"9000": str(free_port()), "8010": str(free_port())}
        self.servers: dict[str, ListeningProcess] = {}
        scripts = Path(sys.executable).parent
        chat, http = self.ports["9000"], self.ports["8010"]
        self.env = {
            "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
            "CHATIFY_STREAM_SERVER_HOST": "127.0.0.1",
            "CHATIFY_STREAM_SERVER_PORT": chat,
            "CHATIFY_STREAM_CLIENT_TARGET": f"localhost:{chat}",
            "CHATIFY_STREAM_GATEWAY_HOST": "127.0.0.1",
            "CHATIFY_STREAM_GATEWAY_PORT": http,
            "CHATIFY_STREAM_GATEWAY_TARGET": f"localhost:{chat}",
        }

    def with_ports(self, text: str) -> str:
        return re.sub(r"\b(9000|8010)\b", lambda match: self.ports[match[1]], text)

    def sh(self, text: str) -> None:
        for line in text.splitlines():
            command = line.removeprefix("pip install '.[all]' && ")
            if command == TEST_COMMAND:
                continue
            argv = shlex.split(command)
            assert argv[0] == "chatify-stream", f"no test knows how to run {line!r}"
            if argv[1] in self.servers:
                self.servers.pop(argv[1]).stop()
            server = ListeningProcess(*argv, cwd=self.folder, env=self.env)
            server.start()
            self.servers[argv[1]] = server

    def console(self, text: str) -> None:
        for entry in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
            command, _, expected = entry.partition("\n")
            shown = " config " in command  # a configuration, in which our ports would stand out
            ran = subprocess.run(
                ["bash", "-o", "pipefail", "-c", command if shown else self.with_ports(command)],
                cwd=self.folder,
                env=os.environ | ({"PATH": self.env["PATH"]} if shown else self.env),
                capture_output=True,
                text=True,
                timeout=SECONDS,
            )
            assert ran.returncode == 0, ran.stderr
            assert ran.stdout.rstrip("\n") == expected.rstrip("\n")

    def toml(self, text: str) -> None:
        file = self.folder / "part.toml"
        file.write_text(text, encoding="utf-8")
        load(file)

    def python(self, text: str) -> None:
        subprocess.run(
            [sys.executable, "-W", "error", "-c", self.with_ports(text)],
            cwd=self.folder,
            env=os.environ | self.env,
            check=True,
            timeout=SECONDS,
        )


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_block(document: Path, tmp_path: Path) -> None:
    """Every block of the document works, in order."""
    reader = Reader(tmp_path)
    with ExitStack() as stack:
        stack.callback(lambda: [server.stop() for server in reader.servers.values()])
        for kind, text in BLOCK.findall(document.read_text(encoding="utf-8")):
            if kind in ("mermaid", "text"):
                continue
            assert kind in ("sh", "console", "python", "toml"), f"no test knows what {kind} is"
            getattr(reader, kind)(text)


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_links(document: Path) -> None:
    """Files that the document links to are there."""
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text(encoding="utf-8")):
        assert (document.parent / target).exists(), f"{target} is linked, but not there"


def test_the_configuration_table() -> None:
    """README's table has exactly the settings there are, with their defaults and meanings."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+\.\w+)` \| `(.+?)` \| (.+) \|$", text, re.MULTILINE)
    assert rows == [(s.name, s.kind.to_toml(s.default), s.doc) for s in all_settings()]


def test_the_limits_table() -> None:
    """The table of limits has exactly those there are, with their defaults."""
    text = (ROOT / "docs" / "embedding.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| `(.+?)` \| .+ \| .+ \|$", text, re.MULTILINE)
    assert rows == [(field.name, repr(field.default)) for field in dataclasses.fields(Limits)]


def test_ci_runs_the_command() -> None:
    """CI runs the test command of the README."""
    assert f"\n{TEST_COMMAND}\n" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"{TEST_COMMAND})" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_the_changelog() -> None:
    """The changelog knows this version, or has what is unreleased."""
    assert "## Unreleased" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
