"""`chatify-stream config`."""

import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from chatify_stream.cli import main
from chatify_stream.cli.commands.config import show
from chatify_stream.cli.commands.serve import serve
from chatify_stream.config import load, render_default, render_effective

from ..command_line import invoke


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "chat.toml"


class TestShow:
    def test_defaults(self, runner: CliRunner) -> None:
        """Without anything given, the defaults are in effect."""
        result = runner.invoke(main, ["config", "show"])
        assert result.exit_code == 0
        assert result.stdout == render_effective(load())
        assert result.stdout.startswith('[server]\nhost = "0.0.0.0"        # default\n')
        assert result.stderr == ""

    def test_sources(self, runner: CliRunner, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """File, variables and flags are read as by `serve`; each value has its source beside it."""
        file.write_text("[server]\nport = 1\ngrace = 1\n[gateway]\nport = 1\n", encoding="utf-8")
        monkeypatch.setenv("CHATIFY_STREAM_SERVER_PORT", "2")
        monkeypatch.setenv("CHATIFY_STREAM_CLIENT_TIMEOUT", "2")
        flags = ["--port", "3", "--reply", "Hi {name}", "--reflection", "--log-format=json"]
        result = runner.invoke(main, ["config", "show", "--config", str(file), *flags])
        assert result.exit_code == 0
        lines = [
            tuple(part.strip() for part in line.split("  # "))
            for line in result.stdout.splitlines()
        ]
        assert [line for line in lines if len(line) == 2 and line[1] != "default"] == [
            ("port = 3", "--port"),
            ("grace = 1", str(file)),
            ('reply = "Hi {name}"', "--reply"),
            ("reflection = true", "--reflection"),
            ("timeout = 2", "CHATIFY_STREAM_CLIENT_TIMEOUT"),
            ("port = 1", str(file)),
            ('format = "json"', "--log-format"),
        ]

    def test_file_by_variable(
        self, runner: CliRunner, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """CHATIFY_STREAM_CONFIG names the file; --config wins over it."""
        file.write_text("[server]\nport = 1\n", encoding="utf-8")
        monkeypatch.setenv("CHATIFY_STREAM_CONFIG", str(file))
        by_variable = runner.invoke(main, ["config", "show"])
        assert tomllib.loads(by_variable.stdout)["server"]["port"] == 1
        other = file.with_name("other.toml")
        other.write_text("[server]\nport = 2\n", encoding="utf-8")
        by_flag = runner.invoke(main, ["config", "show", "--config", str(other)])
        assert tomllib.loads(by_flag.stdout)["server"]["port"] == 2
        assert str(file) not in by_flag.stdout

    @pytest.mark.parametrize("value", ["true", "false"])
    def test_switch(self, runner: CliRunner, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
        """A flag turns a switch on or off, overriding the variable."""
        monkeypatch.setenv("CHATIFY_STREAM_SERVER_REFLECTION", value)
        shown = {
            flag: tomllib.loads(runner.invoke(main, ["config", "show", *flag]).stdout)
            for flag in [(), ("--reflection",), ("--no-reflection",)]
        }
        assert {flag: tables["server"]["reflection"] for flag, tables in shown.items()} == {
            (): value == "true",
            ("--reflection",): True,
            ("--no-reflection",): False,
        }

    def test_flags(self) -> None:
        """The flags are the flags of `serve`."""
        assert [each.opts for each in show.params] == [each.opts for each in serve.params]

    def test_problem(self, runner: CliRunner) -> None:
        """A wrong value gives one line on standard error and no output."""
        result = runner.invoke(main, ["config", "show", "--grace", "-1"])
        assert result.exit_code == 2
        assert result.stdout == ""
        assert result.stderr == (
            "Error: --grace: server.grace = '-1' is not allowed; use a number of seconds "
            "from 0, up to 86400\n"
        )

    def test_chinese(self) -> None:
        """Text of any script is shown unchanged."""
        done = invoke("config", "show", "--reply", "你好，{name}！🎉")
        assert (done.status, done.stderr) == (0, "")
        assert 'reply = "你好，{name}！🎉"' in done.stdout


class TestCheck:
    def test_good(self, runner: CliRunner, file: Path) -> None:
        """A good file is called so."""
        file.write_text("[server]\nport = 1\n", encoding="utf-8")
        result = runner.invoke(main, ["config", "check", str(file)])
        assert (result.exit_code, result.stdout, result.stderr) == (0, f"{file}: no problems\n", "")

    def test_one_problem(self, runner: CliRunner, file: Path) -> None:
        """One problem is reported in the singular."""
        file.write_text("[server]\nprot = 1\n", encoding="utf-8")
        result = runner.invoke(main, ["config", "check", str(file)])
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr == (
            f"{file}: server.prot = 1 is not a setting; did you mean port?\n"
            "Error: 1 problem found\n"
        )

    def test_all_problems(self, runner: CliRunner, file: Path) -> None:
        """Every problem is a line, and they are counted."""
        file.write_text(
            '[server]\nport = 70000\nhost = "a b"\n[servr]\n[client]\ntimeout = 0\n',
            encoding="utf-8",
        )
        result = runner.invoke(main, ["config", "check", str(file)])
        assert (result.exit_code, result.stdout) == (2, "")
        *problems, last = result.stderr.splitlines()
        assert [problem.split(" ")[:2] for problem in problems] == [
            [f"{file}:", "server.port"],
            [f"{file}:", "server.host"],
            [f"{file}:", "servr"],
            [f"{file}:", "client.timeout"],
        ]
        assert last == "Error: 4 problems found"

    def test_file_alone(
        self, runner: CliRunner, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Only the file is checked, not the environment."""
        file.write_text("", encoding="utf-8")
        monkeypatch.setenv("CHATIFY_STREAM_SERVER_PORT", "x")
        assert runner.invoke(main, ["config", "check", str(file)]).exit_code == 0

    def test_missing(self, runner: CliRunner, file: Path) -> None:
        """A file that is not there is a problem."""
        result = runner.invoke(main, ["config", "check", str(file)])
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr == (
            f"{file}: cannot be read: No such file or directory\nError: 1 problem found\n"
        )


class TestInit:
    def test_default_file(self, runner: CliRunner, file: Path) -> None:
        """The file that is printed is complete, and it passes the check."""
        result = runner.invoke(main, ["config", "init"])
        assert (result.exit_code, result.stdout) == (0, render_default())
        assert result.stderr == ""
        file.write_text(result.stdout, encoding="utf-8")
        assert runner.invoke(main, ["config", "check", str(file)]).exit_code == 0

    def test_changes_nothing(self, runner: CliRunner, file: Path) -> None:
        """With that file in use, the settings are the defaults still."""
        file.write_text(runner.invoke(main, ["config", "init"]).stdout, encoding="utf-8")
        with_file = runner.invoke(main, ["config", "show", "--config", str(file)]).stdout
        without = runner.invoke(main, ["config", "show"]).stdout
        assert tomllib.loads(with_file) == tomllib.loads(without)
