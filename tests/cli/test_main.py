"""The command as a whole: its version, its help, its two names."""

import shutil
import sysconfig
from importlib.metadata import entry_points

import click
import pytest
from click.testing import CliRunner

from chatify_stream import __version__
from chatify_stream.cli import main
from chatify_stream.config import all_settings

from .command_line import run, run_without

COMMANDS = ["serve", "check", "top", "send", "chat", "rooms", "nodes", "gateway", "config", "token"]
ROOMS = ["list", "history", "presence", "publish", "disconnect"]
HELP = [
    [],
    *([name] for name in COMMANDS),
    *(["rooms", name] for name in ROOMS),
    *(["config", name] for name in ("show", "check", "init")),
    *(["token", name] for name in ("secret", "mint", "inspect")),
]
SECTIONS = {
    "serve": {"server", "log"},
    "send": {"client", "log"},
    "chat": {"client", "log"},
    **{f"rooms {name}": {"client", "log"} for name in ROOMS},
    "gateway": {"gateway", "log"},
    "config show": {"server", "log"},
}
OF_A_SERVER = {"log.access", "log.rate", "log.stall"}
"""Settings without flags of other commands."""


def context() -> click.Context:
    return click.Context(main, info_name="chatify-stream", **main.context_settings)


def console_script() -> str:
    script = shutil.which("chatify-stream", path=sysconfig.get_path("scripts"))
    assert script is not None
    return script


def test_version(runner: CliRunner) -> None:
    """--version prints name and version."""
    result = runner.invoke(main, ["--version"])
    assert result.exit_code == 0
    assert result.stdout == f"chatify-stream, version {__version__}\n"


def test_commands() -> None:
    """There are these commands."""
    assert main.list_commands(context()) == COMMANDS


@pytest.mark.parametrize("flag", ["--help", "-h"])
@pytest.mark.parametrize("command", HELP, ids=lambda command: " ".join(command) or "main")
def test_help(runner: CliRunner, command: list[str], flag: str) -> None:
    """Every command has help, under both flags, on standard output."""
    result = runner.invoke(main, [*command, flag], prog_name="chatify-stream")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: {' '.join(['chatify-stream', *command])} ")
    assert "-h, --help" in result.stdout
    assert result.stderr == ""


@pytest.mark.parametrize("name", COMMANDS)
def test_help_lists_commands(runner: CliRunner, name: str) -> None:
    """The help lists every command with the first sentence of its help."""
    [line] = [
        line
        for line in runner.invoke(main, ["--help"], terminal_width=200).stdout.splitlines()
        if line.startswith(f"  {name} ")
    ]
    summary = line.removeprefix(f"  {name} ").strip()
    assert summary.endswith(".")
    command = main.get_command(context(), name)
    assert command is not None
    assert command.get_short_help_str(1000) == summary


@pytest.mark.parametrize("command", SECTIONS)
def test_flags(runner: CliRunner, command: str) -> None:
    """A command has a flag for every setting that concerns it, with meaning and default."""
    result = runner.invoke(
        main, [*command.split(), "--help"], terminal_width=1000, max_content_width=1000
    )
    serves = "server" in SECTIONS[command]
    settings = [
        setting
        for setting in all_settings()
        if setting.section in SECTIONS[command] and (serves or setting.name not in OF_A_SERVER)
    ]
    for setting in settings:
        default = setting.kind.to_toml(setting.default)
        assert f"  {setting.flag} " in result.stdout
        assert f" {setting.doc}  [default: {default}]\n" in result.stdout
    assert {setting.section for setting in settings} == SECTIONS[command]
    assert "  --config FILE " in result.stdout


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["serv"], "No such command"),
        (["serve", "--prot", "1"], "No such option"),
        (["serve", "extra"], "Got unexpected extra argument"),
        (["serve", "--target", "localhost"], "No such option"),
        (["send", "--count", "0"], "Invalid value for '--count'"),
        (["send", "--count", "x"], "Invalid value for '--count'"),
        (["config", "check"], "Missing argument 'FILE'"),
    ],
)
def test_wrong_use(runner: CliRunner, args: list[str], message: str) -> None:
    """A command line that makes no sense ends with usage, a reason and status 2."""
    result = runner.invoke(main, args, prog_name="chatify-stream")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("Usage: chatify-stream")
    assert f"\n\nError: {message}" in result.stderr


def test_entry_point() -> None:
    """The script `chatify-stream` is the command."""
    [script] = entry_points(group="console_scripts", name="chatify-stream")
    assert script.load() is main


@pytest.mark.process
@pytest.mark.parametrize(
    "args", [["--version"], ["--help"], ["serve", "--help"], ["serve", "--port", "x"], ["serv"]]
)
def test_module_is_script(args: list[str]) -> None:
    """`python -m chatify_stream` behaves as the script, including its name."""
    as_module = run(*args)
    assert as_module == run(*args, command=[console_script()])
    assert as_module.stdout + as_module.stderr != ""
    assert "__main__" not in as_module.stdout + as_module.stderr


@pytest.mark.process
@pytest.mark.parametrize(
    "args", [["--version"], ["serve", "--help"], ["send", "--help"], ["gateway", "--help"]]
)
@pytest.mark.parametrize("package", ["starlette", "uvicorn"])
def test_without_extra(package: str, args: list[str]) -> None:
    """Nothing but running the gateway needs its extra."""
    done = run_without(package, *args)
    assert (done.status, done.stderr) == (0, "")
    assert done.stdout != ""
