"""What docs/operations has for systemd and for containers works, as far as it can be tried here."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from chatify_stream.config import ServerSettings, all_settings

from .cli.command_line import run
from .e2e.processes import ListeningProcess
from .support.tools import find_tool

ROOT = Path(__file__).resolve().parents[1]
OPERATIONS = ROOT / "docs" / "operations"
UNIT = (OPERATIONS / "chatify-stream.service").read_text()
DOCKERFILE = re.sub(r"\\\n\s*", "", (OPERATIONS / "Dockerfile").read_text())
SECONDS = 60


@pytest.fixture(scope="module")
def service() -> configparser.SectionProxy:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(UNIT)
    return parser["Service"]


def instructions(name: str) -> list[str]:
    """The arguments of each instruction of a kind."""
    return re.findall(rf"^{name} (.*)$", DOCKERFILE, re.MULTILINE)


def check_flags(*command: str) -> None:
    """Every flag of a command is one that it has."""
    known = run(command[0], "--help").stdout
    for flag in (word for word in command if word.startswith("--")):
        assert re.search(rf"{flag}\b", known), f"{command[0]} has no {flag}"


class TestUnit:
    def test_its_command(self, service: configparser.SectionProxy) -> None:
        """It runs the server with flags that there are, and leaves it the time that it takes."""
        program, *command = shlex.split(service["ExecStart"])
        assert program.endswith("/bin/chatify-stream")
        check_flags(*command)
        assert float(service["TimeoutStopSec"]) > ServerSettings().grace
        assert service["ExecReload"] == "/bin/kill -HUP $MAINPID"
        assert service["KillSignal"] == "SIGTERM"

    def test_it_may_do_nothing_else(self, service: configparser.SectionProxy) -> None:
        """It is no user of the machine, and has neither capabilities nor a file to write."""
        wanted = {
            "DynamicUser": "yes",
            "NoNewPrivileges": "yes",
            "ProtectSystem": "strict",
            "ProtectHome": "yes",
            "PrivateTmp": "yes",
            "CapabilityBoundingSet": "",
            "AmbientCapabilities": "",
        }
        assert wanted.items() <= dict(service).items()

    def test_systemd_takes_it(self, tmp_path: Path) -> None:
        """`systemd-analyze verify`, where it is there, has nothing to say about it."""
        analyze = shutil.which("systemd-analyze")
        if analyze is None:
            pytest.skip("systemd is not installed")
        unit = tmp_path / "chatify-stream.service"
        unit.write_text(re.sub(r"/opt/\S+/bin/chatify-stream", "/bin/true", UNIT))
        ran = subprocess.run(
            [analyze, "verify", "--man=no", unit],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")

    @pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets")
    def test_the_server_says_when_it_is_ready(self, tmp_path: Path) -> None:
        """With `Type=notify` systemd waits for that; and it says when it stops."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
            systemd.bind(str(tmp_path / "notify"))
            systemd.settimeout(SECONDS)
            server = ListeningProcess(
                *(sys.executable, "-m", "chatify_stream"),
                *("serve", "--host", "127.0.0.1", "--port", "0"),
                env={"NOTIFY_SOCKET": str(tmp_path / "notify")},
            )
            with server:
                assert systemd.recv(100) == b"READY=1"
                server.terminate()
                assert systemd.recv(100) == b"STOPPING=1"
                assert server.wait() == 0


class TestDockerfile:
    def test_its_commands(self) -> None:
        """What it runs, and what asks for its health, are commands and flags that there are."""
        assert instructions("ENTRYPOINT") == ['["chatify-stream"]']
        (command,) = instructions("CMD")
        assert command == '["serve"]'
        (health,) = instructions("HEALTHCHECK")
        _, _, probe = health.partition("CMD ")
        program, *words = re.findall(r'"([^"]*)"', probe)
        assert program == "chatify-stream"
        check_flags(*words)

    def test_its_settings(self) -> None:
        """Its variables are settings, with values that they may have."""
        variables = dict(re.findall(r"(CHATIFY_STREAM_\w+)=(\S+)", DOCKERFILE))
        assert variables
        assert variables.keys() <= {setting.variable for setting in all_settings()}
        assert run("config", "show", env=variables).status == 0

    def test_it_is_nobody(self) -> None:
        """It runs as a user by number, who is not root, and needs nothing compiled."""
        (user,) = instructions("USER")
        assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
        assert instructions("FROM") == ["python:3.13-slim AS build", "python:3.13-slim"]
        assert "apt-get" not in DOCKERFILE
        assert instructions("EXPOSE") == [str(ServerSettings().port)]

    @pytest.mark.skipif(sys.platform != "linux", reason="containers are of Linux")
    def test_it_runs_where_nothing_can_be_written(self, tmp_path: Path) -> None:
        """Without a right to write but for its data, it serves."""
        data, root = tmp_path / "data", tmp_path / "root"
        data.mkdir()
        root.mkdir(0o555)
        # Root without a capability is a user like others, and may own the Python of the tests.
        restricted = ("--bounding-set=-all", "--inh-caps=-all", "--no-new-privs")
        server = ListeningProcess(
            *((find_tool("setpriv"), *restricted) if os.getuid() == 0 else ()),
            *(sys.executable, "-m", "chatify_stream"),
            *("serve", "--host", "127.0.0.1", "--port", "0"),
            cwd=root,
            env={
                "CHATIFY_STREAM_ROOMS_BROKER": f"sqlite:///{data / 'chat.db'}",
                "PYTHONDONTWRITEBYTECODE": "1",
            },
        )
        with server:
            assert run("check", "--target", server.address).status == 0
        assert not list(root.iterdir())
        assert (data / "chat.db").exists()
