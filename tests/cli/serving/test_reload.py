"""SIGHUP: the settings that change without a restart, and the log of a reload."""

import logging
import os
import signal
from pathlib import Path

import pytest

from chatify_stream import ChatClient, ConfigError, UnavailableError, UsageError
from chatify_stream.cli.serving.reload import Part, Reloader, reload_on_hangup
from chatify_stream.config import LogSettings, ServerSettings, Settings
from chatify_stream.errors import ConfigProblem

from ...e2e.processes import ListeningProcess
from ..command_line import COMMAND

SECONDS = 60.0


class Configuration:
    """Settings that change, and parts that take them."""

    def __init__(self) -> None:
        self.settings: Settings | Exception = Settings()
        self.taken: list[Settings] = []
        self.refusal: Exception | None = None
        self.news: str | None = None

    def read(self) -> Settings:
        if isinstance(self.settings, Exception):
            raise self.settings
        return self.settings

    async def take(self, settings: Settings) -> str | None:
        if self.refusal is not None:
            raise self.refusal
        self.taken.append(settings)
        return self.news

    def reloader(self, *names: str, has_files: bool = False) -> Reloader:
        return Reloader(self.read, Settings(), [Part(names, self.take, has_files)])


@pytest.fixture(autouse=True)
def level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


@pytest.fixture
def configuration() -> Configuration:
    return Configuration()


async def test_a_change(configuration: Configuration, caplog: pytest.LogCaptureFixture) -> None:
    """A part applies changed settings once; the line contains the values of public settings."""
    reloader = configuration.reloader("log.level")
    configuration.settings = Settings(log=LogSettings(level="debug"))
    await reloader.reload()
    await reloader.reload()
    assert configuration.taken == [configuration.settings]
    assert caplog.messages == ['reloaded: log.level = "debug"', "reloaded: no changes"]


async def test_what_needs_a_restart(
    configuration: Configuration, caplog: pytest.LogCaptureFixture
) -> None:
    """Settings that require a restart are named by each reload."""
    reloader = configuration.reloader("log")
    configuration.settings = Settings(
        log=LogSettings(level="debug"), server=ServerSettings(port=9001, grace=1)
    )
    for _ in range(2):
        await reloader.reload()
    assert caplog.messages == [
        'reloaded: log.level = "debug"; restart required for: server.port, server.grace',
        "reloaded: no changes; restart required for: server.port, server.grace",
    ]


async def test_secrets_are_not_shown(
    configuration: Configuration, caplog: pytest.LogCaptureFixture
) -> None:
    """Of a section that may have secrets the line has names alone."""
    reloader = configuration.reloader("server.reply")
    configuration.settings = Settings(server=ServerSettings(reply="planted {name}"))
    await reloader.reload()
    assert caplog.messages == ["reloaded: server.reply"]


async def test_files(configuration: Configuration, caplog: pytest.LogCaptureFixture) -> None:
    """A part whose settings name files is always applied, and may report a change."""
    reloader = configuration.reloader("tls", has_files=True)
    await reloader.reload()
    configuration.news = "the certificate"
    await reloader.reload()
    assert caplog.messages == ["reloaded: no changes", "reloaded: the certificate"]


async def test_problems(configuration: Configuration, caplog: pytest.LogCaptureFixture) -> None:
    """A configuration with problems changes nothing; each problem is a line."""
    reloader = configuration.reloader("log")
    problems = [ConfigProblem("chat.toml", "one"), ConfigProblem("chat.toml", "two")]
    configuration.settings = ConfigError(problems)
    await reloader.reload()
    assert caplog.messages == [
        "reload failed: the configuration has problems; nothing was changed",
        "chat.toml: one",
        "chat.toml: two",
    ]
    assert not configuration.taken


@pytest.mark.parametrize("refusal", [UsageError("it is not there"), OSError("it is not there")])
async def test_a_refusal(
    configuration: Configuration, caplog: pytest.LogCaptureFixture, refusal: Exception
) -> None:
    """A part that rejects its settings keeps the old ones, and the next reload tries again."""
    reloader = configuration.reloader("log.level")
    configuration.settings = Settings(log=LogSettings(level="debug"))
    configuration.refusal = refusal
    await reloader.reload()
    configuration.refusal = None
    await reloader.reload()
    assert caplog.messages == [
        "log.level: not reloaded: it is not there",
        "reloaded: no changes",
        'reloaded: log.level = "debug"',
    ]


async def test_a_failure(configuration: Configuration, caplog: pytest.LogCaptureFixture) -> None:
    """An unexpected error is logged, and the next reload works."""
    reloader = configuration.reloader("log")
    configuration.settings = RuntimeError("boom")
    await reloader.reload()
    configuration.settings = Settings()
    await reloader.reload()
    assert caplog.messages == ["reload failed", "reloaded: no changes"]


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="the platform has no SIGHUP")
class TestServe:
    def read_until(self, server: ListeningProcess, text: str) -> str:
        """Waits for a line of the log."""
        while (line := server.read_line(SECONDS)) is not None:
            if text in line:
                return line
        raise AssertionError(f"no line has {text!r}")

    def serve(self, folder: Path, *flags: str) -> ListeningProcess:
        return ListeningProcess(
            *COMMAND,
            *("serve", "--host", "127.0.0.1", "--port", "0", "--config", str(folder / "chat.toml")),
            *flags,
            merge_stderr=True,
        )

    @pytest.mark.process
    async def test_limits_and_log(self, tmp_path: Path) -> None:
        """New limits apply to new connections; a broken file changes nothing."""
        file = tmp_path / "chat.toml"
        file.write_text("[limits]\nmax_connections = 2\n")
        with self.serve(tmp_path) as server:
            async with ChatClient(server.address, timeout=SECONDS) as open_before:
                await open_before.send("Ada")
                assert await open_before.receive() is not None

                file.write_text('[limits]\nmax_connections = 1\n[log]\nlevel = "debug"\n')
                os.kill(server.pid, signal.SIGHUP)
                line = self.read_until(server, "reloaded")
                assert line.endswith('reloaded: log.level = "debug", limits.max_connections = 1')
                with pytest.raises(UnavailableError):
                    async with ChatClient(server.address, timeout=SECONDS) as refused:
                        await refused.send("Ada")
                        await refused.receive()

                file.write_text("[limits]\nmax_connections = 0\n")
                os.kill(server.pid, signal.SIGHUP)
                self.read_until(server, "reload failed")
                self.read_until(server, "limits.max_connections = 0 is not allowed")

                file.write_text("[server]\ngrace = 3\n")
                os.kill(server.pid, signal.SIGHUP)
                line = self.read_until(server, "reloaded: ")
                assert "limits.max_connections = 20000" in line
                assert line.endswith("; restart required for: server.grace")
                async with ChatClient(server.address, timeout=SECONDS) as taken:
                    await taken.send("Ada")
                    assert (await taken.close_and_recv()).message == "Hello Ada"
                await open_before.send("Ada")
                assert (await open_before.close_and_recv()).message == "Hello Ada"

    @pytest.mark.process
    async def test_signals_at_once(self, tmp_path: Path) -> None:
        """Many signals cause at most as many reloads."""
        file = tmp_path / "chat.toml"
        file.write_text("")
        with self.serve(tmp_path) as server:
            for _ in range(50):
                os.kill(server.pid, signal.SIGHUP)
            self.read_until(server, "reloaded: no changes")
            server.terminate()
            assert server.wait() == 0
            assert server.stdout().count("reloaded") <= 50


async def test_without_sighup(
    configuration: Configuration, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a platform that has no SIGHUP nothing is done."""
    monkeypatch.delattr(signal, "SIGHUP")
    async with reload_on_hangup(configuration.reloader("log")):
        pass
