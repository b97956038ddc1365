"""Sort the tests into four tiers, by folder and file.

- `unit`: values, clocks and objects of this process; no socket is bound or connected.
- `integration`: sockets of the loopback interface in this process; of other processes, only
  redis-server.
- `process`: starts processes: the commands, workers, peers in other languages, the snippets of the
  documentation, the package.
- `stress`: attacks, fuzz, soak, torture, and the benchmark's own tests.

`_PATHS` is the only table. A test that differs from its file bears its tier as a marker, and this
wins: `@pytest.mark.process`. `pytest -m "unit or integration"` runs two tiers.

A test of the process tier bears the further marker `slow` if it needs a peer in Go or JavaScript,
which has to be built first, or if it starts many processes, one after the other.

A plain tox run selects with `--default-tiers`: everything but the stress tier and slow tests, and
the process tier only on the first of its Pythons.

`TierGuard` holds each test to its tier: a test of the unit tier that binds a socket fails, and so
does a test of the first two tiers that starts a process.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any

__all__ = ["GUARD", "SLOW_FIXTURES", "TESTS", "TIERS", "Tier", "default_expression", "tier_of"]

TESTS = Path(__file__).resolve().parent


class Tier(StrEnum):
    """A marker of pytest."""

    UNIT = "unit"
    INTEGRATION = "integration"
    PROCESS = "process"
    STRESS = "stress"


_PATHS = {
    Tier.UNIT: """
        assembly/test_extras.py auth brokers config messages rooms testing
        client/test_call_metadata.py client/test_channel.py client/test_event_queue.py
        client/test_reconnect.py client/test_room_cursor.py client/test_sender.py
        client/test_tokens.py client/test_unacked.py
        server/metrics server/rooms/test_hook_runner.py
        server/rooms/test_options.py server/rooms/test_permission.py
        server/rooms/test_subscriptions.py server/services/test_descriptors.py
        server/test_instrumented_broker.py server/test_telemetry.py
        server/test_tracing_of_messages.py server/test_usage.py
        test_address.py test_capacity.py test_codec.py test_errors.py
        test_exports.py test_limits.py test_prose.py test_structure.py test_tiers.py
        wire
    """,
    Tier.INTEGRATION: """
        assembly auth/test_authenticators.py auth/test_key_store.py brokers/redis cli
        cli/serving/workers/test_supervisor.py client server
        server/metrics/test_exporter.py server/metrics/test_metrics.py
        test_operations.py
        wire/client/test_channel.py wire/client/test_dialer.py wire/client/test_protocol.py
        wire/client/test_stream.py
        wire/connection/test_compressed_calls.py wire/connection/test_connection.py
        wire/connection/test_protocol.py wire/connection/test_statistics.py
        wire/connection/test_stream.py
        wire/server wire/test_bounds.py wire/test_faults.py wire/test_rejections.py
        wire/test_timeouts.py
    """,
    Tier.PROCESS: """
        brokers/sqlite/test_full_disk.py brokers/sqlite/test_kill.py brokers/sqlite/test_sync.py
        cli/chat/test_terminal.py cli/serving/workers e2e gateway interop
        test_deployment.py test_docs.py test_examples.py test_kubernetes.py test_packaging.py
        test_secrets.py
    """,
    Tier.STRESS: """
        attacks bench fuzz soak torture test_bench.py test_bench_nodes.py test_leaks.py
    """,
}
"""The table. A path is a folder or a file below `tests/`; the longest path decides."""

SLOW_FIXTURES = {"go_binaries", "go_interop", "grpcurl", "node_client"}
"""Fixtures that build a peer: tests with one of them bear the marker `slow`."""

TIERS = {path: tier for tier, paths in _PATHS.items() for path in paths.split()}


def tier_of(path: Path) -> Tier:
    """Return the tier of a test file. Raise KeyError for a file that the table does not cover."""
    relative = path.resolve().relative_to(TESTS)
    for each in (relative, *relative.parents):
        if (tier := TIERS.get(each.as_posix())) is not None:
            return tier
    raise KeyError(f"{relative}: no tier; add its folder or its name to TIERS in tests/tiers.py")


def default_expression() -> str:
    """Return what `--default-tiers` selects, as an expression for `-m`.

    Of the environments of one tox run, which are the children of one process, the first one claims
    the process tier by a file in tox's folder.
    """
    expression = f"{Tier.UNIT} or {Tier.INTEGRATION}"
    folder, name = os.environ.get("TOX_WORK_DIR"), os.environ.get("TOX_ENV_NAME", "")
    if folder is not None:
        run, claim = str(os.getppid()), Path(folder) / "process-tier"
        claimed = claim.read_text().split() if claim.exists() else []
        if claimed[:1] == [run] and claimed[1:] != [name]:
            return expression
        claim.write_text(f"{run} {name}")
    return f"{expression} or ({Tier.PROCESS} and not slow)"


class TierGuard:
    """Notes what the running test does that its tier does not allow.

    Only one guard may exist in a process: Python cannot remove an audit hook.
    """

    def __init__(self) -> None:
        self._processes: list[str] | None = None
        self._sockets: list[str] | None = None
        sys.addaudithook(self._audit)

    @contextmanager
    def watch(self, tier: Tier) -> Iterator[None]:
        """Run a part of a test. Raise AssertionError if the part left the tier."""
        before = self._processes, self._sockets
        processes: list[str] = []
        sockets: list[str] = []
        self._processes = processes if tier in (Tier.UNIT, Tier.INTEGRATION) else None
        self._sockets = sockets if tier is Tier.UNIT else None
        try:
            yield
        finally:
            self._processes, self._sockets = before
        if processes:
            raise AssertionError(
                f"{tier} test: it started {processes[0]}; mark it with pytest.mark.process"
            )
        if sockets:
            raise AssertionError(
                f"unit test: it used the socket {sockets[0]}; mark it with pytest.mark.integration"
            )

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._processes is not None:
            if event in ("subprocess.Popen", "os.posix_spawn"):
                program = os.path.basename(os.fsdecode(arguments[0]))
                if program != "redis-server":
                    self._processes.append(program)
            elif event in ("os.fork", "os.forkpty"):
                self._processes.append(event)
        if self._sockets is not None and event in ("socket.bind", "socket.connect"):
            self._sockets.append(str(arguments[1]))


GUARD = TierGuard()
