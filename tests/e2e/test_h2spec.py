"""h2spec, which sends what RFC 9113 and RFC 7541 allow and what they forbid."""

import re
from pathlib import Path

from .peers import run_command
from .processes import ServerProcess


def test_every_case_in_strict_mode(go_binaries: Path, own_server: ServerProcess) -> None:
    """The server passes every case, and leaves none out; then it serves on."""
    host, port = own_server.address.rsplit(":", 1)
    command = (go_binaries / "h2spec", "--strict", "-h", host, "-p", port, "-P", "/healthz")
    done = run_command(*command)
    result = re.search(r"(\d+) tests, (\d+) passed, 0 skipped, 0 failed", done.stdout)
    assert result is not None, done.stdout[done.stdout.find("Failures:") :]
    assert result[1] == result[2]
    assert int(result[1]) >= 146
    assert run_command(*command, "generic/1").returncode == 0
