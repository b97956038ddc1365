"""HAProxy and nginx as docs/operations has them; only places, ports and files are others here."""

from __future__ import annotations

import csv
import getpass
import os
import re
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from ..auth.certificates import Pair
from ..ports import free_port
from ..support.tools import find_tool, missing
from .processes import ListeningProcess, Process, ProcessFailed

__all__ = ["GatheringHAProxy", "HAProxy", "Nginx", "Node"]

OPERATIONS = Path(__file__).resolve().parents[2] / "docs" / "operations"
PATIENCE = 30.0
AGAIN = 0.02


class Node:
    """`chatify-stream serve`, which may be ended and started again on its port."""

    def __init__(self, broker: str, options: Sequence[str], env: Mapping[str, str]) -> None:
        self.port = free_port()
        self._argv = [
            *(sys.executable, "-m", "chatify_stream", "serve"),
            *("--host", "127.0.0.1", "--port", f"{self.port}", "--broker", broker),
            *("--access-log", "--log-format", "json", "--grace", "1", *options),
        ]
        self._env = env
        self.start()

    def start(self) -> None:
        self.process = ListeningProcess(*self._argv, env=self._env)
        self.process.start()

    def log(self) -> str:
        return self.process.stderr()


class Proxy:
    """A proxy that runs with the documented file, after replacements."""

    file: str
    node_options: Sequence[str]
    """What its head says that nodes serve with."""
    node_env: Mapping[str, str]

    def __init__(self, folder: Path, nodes: list[Node], pair: Pair) -> None:
        self.folder = folder
        self.tls_port = free_port()
        text = (OPERATIONS / self.file).read_text(encoding="utf-8")
        replacements = self.replacements(folder, pair)
        for number, node in enumerate(nodes, 1):
            replacements[f"10.0.0.1{number}:9000"] = f"127.0.0.1:{node.port}"
        for before, after in replacements.items():
            assert before in text, f"{self.file} has no {before!r}"
            text = text.replace(before, after)
        self.config = folder / self.file
        self.config.write_text(text, encoding="utf-8")
        self._process = Process(*self.argv(), merge_stderr=True)

    def replacements(self, folder: Path, pair: Pair) -> dict[str, str]:
        raise NotImplementedError

    def argv(self) -> list[str]:
        raise NotImplementedError

    def is_ready(self) -> bool:
        """It serves, and knows of both nodes."""
        raise NotImplementedError

    def start(self) -> None:
        self._process.start()
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        end = time.monotonic() + PATIENCE
        while not self.is_ready():
            if self._process.exit_code is not None or time.monotonic() > end:
                raise ProcessFailed("not ready", self._process)
            time.sleep(AGAIN)

    def stop(self) -> None:
        self._process.stop()


class HAProxy(Proxy):
    """Both of its ways in: `tls_port` for calls, `port` for connections."""

    file = "haproxy.cfg"
    node_options = ("--proxy-protocol", "--trusted-proxies", "127.0.0.1")
    node_env = MappingProxyType({})

    def replacements(self, folder: Path, pair: Pair) -> dict[str, str]:
        self.port = free_port()
        pem = folder / "chat.pem"
        pem.write_bytes(pair.cert.read_bytes() + pair.key.read_bytes())
        changes = {
            "/etc/haproxy/certs/chat.pem": str(pem),
            "/run/haproxy/admin.sock": str(folder / "admin.sock"),
            "bind :443": f"bind 127.0.0.1:{self.tls_port}",
            "bind :9000": f"bind 127.0.0.1:{self.port}",
        }
        if os.getuid() != 0:  # who is nobody else can become
            changes |= {"    user haproxy\n": "", "    group haproxy\n": ""}
        return changes

    def argv(self) -> list[str]:
        return [find_tool("haproxy"), "-db", "-f", str(self.config)]

    def is_ready(self) -> bool:
        return self.states() == ["UP"] * 4

    def states(self) -> list[str]:
        """Of both nodes, for calls and for connections; empty while it does not serve."""
        try:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(str(self.folder / "admin.sock"))
                sock.sendall(b"show stat\n")
                with sock.makefile(encoding="utf-8") as answer:
                    rows = list(csv.DictReader(answer))
        except OSError:
            return []
        checked = [row for row in rows if row["svname"].startswith("node")]
        return [row["status"] if row["check_status"] != "INI" else "INI" for row in checked]


class GatheringHAProxy(HAProxy):
    """With what the file has in comments, which brings the members of a room together."""

    def replacements(self, folder: Path, pair: Pair) -> dict[str, str]:
        lines = ("balance hdr(chat-room)", "hash-type consistent")
        return super().replacements(folder, pair) | {f"#{line}": line for line in lines}


class Nginx(Proxy):
    """Its one way in, with TLS."""

    file = "nginx.conf"
    node_options = ("--trusted-proxies", "127.0.0.1")
    node_env = MappingProxyType({"CHATIFY_STREAM_USAGE_ADDRESS_HEADER": "x-forwarded-for"})

    def replacements(self, folder: Path, pair: Pair) -> dict[str, str]:
        return {
            "/etc/nginx/certs/chat.crt": str(pair.cert),
            "/etc/nginx/certs/chat.key": str(pair.key),
            # The folder of a test is for nobody but him who runs it.
            "user www-data;": f"user {getpass.getuser()};",
            "/run/nginx.pid": str(folder / "nginx.pid"),
            "/run/nginx-chat.sock": str(folder / "chat.sock"),
            "/var/log/nginx/error.log": str(folder / "error.log"),
            "listen 443 ": f"listen 127.0.0.1:{self.tls_port} ",
        }

    def argv(self) -> list[str]:
        nginx = find_tool("nginx")
        text = self.config.read_text(encoding="utf-8")
        for module in re.findall(r"^load_module (.+);$", text, re.MULTILINE):
            if not Path(module).exists():
                missing(f"nginx has no stream module: {module} is not installed")
        return [nginx, "-c", str(self.config), "-g", "daemon off;"]

    def is_ready(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.tls_port), timeout=PATIENCE).close()
        except OSError:
            return False
        return True
