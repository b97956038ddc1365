"""The log."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime

import pytest

from chatify_stream.cli.logs.setup import ServerLog, configure_logging
from chatify_stream.config import LogSettings


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, restored after the test."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    asyncio_level = logging.getLogger("asyncio").level
    for handler in handlers:  # basicConfig would close them
        root.removeHandler(handler)
    yield root
    for handler in root.handlers[:]:
        root.removeHandler(handler)
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(level)
    logging.getLogger("asyncio").setLevel(asyncio_level)


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_level(
    root: logging.Logger, capsys: pytest.CaptureFixture[str], level: str, shown: list[str]
) -> None:
    """Records below the level are not logged; all others go to standard error."""
    configure_logging(LogSettings(level=level, format="json"))
    log = logging.getLogger("chat.x")
    for name in ("debug", "info", "warning", "error"):
        getattr(log, name)("message")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert [json.loads(line)["level"] for line in captured.err.splitlines()] == shown


def test_text(root: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    """A line for people has time, level, logger and message."""
    configure_logging(LogSettings())
    logging.getLogger("chat.x").info("hello %s", "小明")
    time, rest = capsys.readouterr().err.split(" INFO ")
    assert datetime.strptime(time, "%Y-%m-%d %H:%M:%S,%f")
    assert rest == "   chat.x: hello 小明\n"


def test_configured_again(root: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    """Configured twice, a message is logged once."""
    configure_logging(LogSettings())
    configure_logging(LogSettings())
    logging.getLogger("chat.x").info("once")
    assert capsys.readouterr().err.count("once") == 1


def test_asyncio_is_quiet(root: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    """asyncio's own debug messages are left out, its warnings are not."""
    configure_logging(LogSettings(level="debug"))
    logging.getLogger("asyncio").debug("Using selector")
    logging.getLogger("asyncio").warning("slow")
    error = capsys.readouterr().err
    assert "Using selector" not in error
    assert "slow" in error


class TestServerLog:
    def test_it_is_written_by_the_end(
        self, root: logging.Logger, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """All records logged while it is entered are written when it is left, in order."""
        with ServerLog(LogSettings(rate=(1000, 1.0))):
            for number in range(300):
                logging.getLogger("chat.x").info("line %d", number)
        lines = capfd.readouterr().err.splitlines()
        assert [line.rpartition(" ")[2] for line in lines] == list(map(str, range(300)))

    def test_another_level_and_format(
        self, root: logging.Logger, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """It changes while it runs."""
        with ServerLog(LogSettings()) as log:
            logging.getLogger("chat.x").debug("not shown")
            log.change(LogSettings(level="debug", format="json"))
            logging.getLogger("chat.x").debug("shown")
        assert json.loads(capfd.readouterr().err)["message"] == "shown"

    @pytest.mark.process
    def test_nobody_reads_it(self) -> None:
        """With a pipe that is full the program goes on, ends in time, and with its own status."""
        program = """if True:
            import logging, sys
            from chatify_stream.cli.logs.setup import ServerLog
            from chatify_stream.config import LogSettings
            with ServerLog(LogSettings(rate=(100000, 1.0))):
                for number in range(20000):
                    logging.getLogger("chat.x").info("line %d", number)
                print("went on", flush=True)
            sys.exit(7)
        """
        read, write = os.pipe()
        try:
            ran = subprocess.run(
                [sys.executable, "-c", program],
                stdout=subprocess.PIPE,
                stderr=write,
                timeout=60,
                text=True,
            )
        finally:
            os.close(read)
            os.close(write)
        assert (ran.stdout, ran.returncode) == ("went on\n", 7)
