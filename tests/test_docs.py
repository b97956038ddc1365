"""Test that every command and snippet of the documentation works as written.

The blocks of a page run in the order in which they stand:

- `sh`: start a server, which runs until the next server is started;
- `console`: each line after `$ ` is a command that ends with status 0, and the lines below it are
  its complete output;
- `python`: a program that ends with status 0, or, if it calls `wait_closed`, a server;
- `toml`: a configuration, or a part of one, that is valid;
- `text` and `{...}`: not executed.

Ports in the text are replaced by free ones.
"""

from __future__ import annotations

import dataclasses
import os
import pkgutil
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

import chatify_stream
from chatify_stream import Limits
from chatify_stream.config import load

from .e2e.processes import ListeningProcess
from .ports import free_port
from .support.tools import find_tool

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
TOP = [ROOT / name for name in ("README.md", "README.zh-CN.md", "CONTRIBUTING.md", "CHANGELOG.md")]
DOCUMENTS = sorted(
    [*TOP, *(page for page in DOCS.rglob("*.md") if "_build" not in page.relative_to(DOCS).parts)]
)
BLOCK = re.compile(r"^```(\S+).*?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)\s]*)\)")
SECONDS = 60

# Both commands make an environment of their own, because Debian and Ubuntu refuse `pip install`
# outside of one (PEP 668). The second one installs and runs these tests; .ci/run calls it.
VENV = "python3 -m venv .venv && "
INSTALL = f"{VENV}.venv/bin/pip install '.[all]' && .venv/bin/"
TEST_COMMAND = f"{VENV}.venv/bin/pip install tox && .venv/bin/tox"
NOT_RUN = {TEST_COMMAND, "source .venv/bin/activate"}
SKIPPED = {"text"}


def name_of(document: Path) -> str:
    return document.relative_to(ROOT).as_posix()


class Reader:
    """Follows a document."""

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

    def serve(self, name: str, *argv: str) -> None:
        if name in self.servers:
            self.servers.pop(name).stop()
        server = ListeningProcess(*argv, cwd=self.folder, env=self.env)
        server.start()
        self.servers[name] = server

    def sh(self, text: str) -> None:
        for line in text.splitlines():
            if line not in NOT_RUN:
                argv = shlex.split(line.removeprefix(INSTALL))
                assert argv[0] == "chatify-stream", f"no test knows how to run {line!r}"
                self.serve(argv[1], *argv)

    def console(self, text: str) -> None:
        for entry in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
            command, _, expected = entry.partition("\n")
            if command.startswith("curl "):
                find_tool("curl")
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
        argv = [sys.executable, "-W", "error", "-c", self.with_ports(text)]
        if "wait_closed()" in text:
            self.serve("serve", *argv)
            return
        subprocess.run(
            argv, cwd=self.folder, env=os.environ | self.env, check=True, timeout=SECONDS
        )


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_block(document: Path, tmp_path: Path) -> None:
    """Every block of the document works, in order."""
    reader = Reader(tmp_path)
    with ExitStack() as stack:
        stack.callback(lambda: [server.stop() for server in reader.servers.values()])
        for kind, text in BLOCK.findall(document.read_text(encoding="utf-8")):
            if kind in SKIPPED or kind.startswith("{"):
                continue
            assert kind in ("sh", "console", "python", "toml"), f"no test knows what {kind} is"
            getattr(reader, kind)(text)


def anchors(document: Path) -> set[str]:
    """Return the anchors of the headings, spelled as GitHub and MyST spell them."""
    text = BLOCK.sub("", document.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).strip().replace(" ", "-") for each in headings}


@pytest.mark.unit
@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_links(document: Path) -> None:
    """Each file and each heading that the document links to exists."""
    for link in LINK.findall(BLOCK.sub("", document.read_text(encoding="utf-8"))):
        name, _, anchor = link.partition("#")
        target = document.parent / name if name else document
        assert target.exists(), f"{link}: there is no such file"
        if anchor:
            assert anchor in anchors(target), f"{link}: there is no such heading"


@pytest.mark.unit
@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_names(document: Path) -> None:
    """Each name and each path of the project that the document has in backquotes exists."""
    for code in re.findall(r"`([^`\n]+)`", BLOCK.sub("", document.read_text(encoding="utf-8"))):
        if code == "chatify_stream.access":
            continue  # a logger
        if match := re.match(r"chatify_stream(?:\.[a-z]\w*)+(?:\.[A-Z]\w*)?", code):
            pkgutil.resolve_name(match[0])
        elif re.fullmatch(r"(chatify_stream|tests|docs|examples|proto)/[\w./-]+", code):
            assert (ROOT / code).exists(), f"{code}: there is no such file"


@pytest.mark.unit
def test_the_modules_of_faults() -> None:
    """Each module in the table of grpclib's faults exists."""
    text = (DOCS / "explanation" / "grpclib-faults.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| .+ \| (`[^|]+`) \|$", text, re.MULTILINE)
    assert len(rows) > 30
    for name in {name for row in rows for name in re.findall(r"`([\w/]+)`", row)}:
        assert (ROOT / "chatify_stream" / "wire" / f"{name}.py").exists(), name


@pytest.mark.unit
def test_what_is_generated() -> None:
    """The pages of settings and commands, and the badges, are equal to the code's."""
    generator: Callable[[], dict[str, str]] = runpy.run_path(str(DOCS / "generate.py"))["files"]
    for name, text in generator().items():
        there = (DOCS / name).read_text(encoding="utf-8")
        assert there == text, f"docs/{name} is out of date: run python docs/generate.py"


@pytest.mark.unit
def test_the_api_page() -> None:
    """The page of the Python API has exactly the public names, each once."""
    text = (DOCS / "reference" / "api.md").read_text(encoding="utf-8")
    before, _, _ = text.partition("\n## Wire\n")
    names = re.findall(r"^\.\. auto\w+:: (\w+)$", before, re.MULTILINE)
    assert sorted(names) == sorted(set(chatify_stream.__all__) - {"__version__"})


@pytest.mark.unit
def test_the_limits_table() -> None:
    """The table of limits has exactly the fields of `Limits`, with their defaults."""
    text = (DOCS / "reference" / "limits.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| `(.+?)` \| .+ \| .+ \|$", text, re.MULTILINE)
    assert rows == [(field.name, repr(field.default)) for field in dataclasses.fields(Limits)]


@pytest.mark.unit
def test_ci_runs_the_command() -> None:
    """CI runs the test command that the READMEs and CONTRIBUTING have."""
    for document in TOP[:3]:
        assert f"\n{TEST_COMMAND}\n" in document.read_text(encoding="utf-8")
    assert f"{TEST_COMMAND})" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.mark.unit
def test_the_changelog() -> None:
    """The changelog has a section for the current version, or for unreleased changes."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(
        rf"^## (Unreleased|{re.escape(chatify_stream.__version__)}\b)", text, re.MULTILINE
    )


@pytest.mark.unit
def test_the_readme_is_short() -> None:
    """The README has at most 150 lines."""
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150
