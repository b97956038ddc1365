"""Write what the code and pyproject.toml know: the pages of settings and commands, and the badges.

    python docs/generate.py

Run it after every change of a setting, an option or a help text. `tests/test_docs.py` fails while
a page and the code differ.
"""

from __future__ import annotations

import inspect
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click

from chatify_stream.cli import main as command_line
from chatify_stream.config import Settings, all_settings

DOCS = Path(__file__).resolve().parent

NOTE = "<!-- Written by docs/generate.py; do not edit. -->\n\n"

SETTINGS = """\
# Settings

A setting comes from a flag, an environment variable, or a TOML file. Flags take precedence over
environment variables, and environment variables over the file. Name the file with `--config FILE`
or the variable `CHATIFY_STREAM_CONFIG`. The variable of a setting is
`CHATIFY_STREAM_<SECTION>_<KEY>`, for example `CHATIFY_STREAM_SERVER_PORT=9001`.

[Configure a server](../howto/configure.md) shows how to write, check and reload a configuration.

- `"none"` turns an optional setting off.
- A rate such as `"100, then 10/s"` allows a burst of 100, then 10 per second.
- Sizes are in bytes and times in seconds.
"""

COMMANDS = """\
# Command line

`chatify-stream --version` prints the version. Every command has `--help`.
[Exit statuses](errors.md#exit-statuses) are the same for all commands.

Many options set a setting for one run. They are listed by name here; [Settings](settings.md) has
their meaning and default. Every command that has settings also takes `--config FILE`.
"""

EVERYWHERE = ("--config", "-h", "--help")

SECTIONS = {type(getattr(Settings(), name)): name for name in vars(Settings())}


def settings_page() -> str:
    """Return the page of all settings: one table for each section."""
    flags = {flag for command, context in commands() for flag in flags_of(command, context)}
    parts = [NOTE, SETTINGS]
    for kind, section in SECTIONS.items():
        parts.append(
            f"\n## `[{section}]`\n\n{inspect.getdoc(kind) or ''}\n\n"
            "| setting and flag | default | meaning |\n"
            "| --- | --- | --- |\n"
        )
        for setting in all_settings():
            if setting.section == section:
                flag = f"<br>`{setting.flag}`" if setting.flag in flags else ""
                default = f"`{setting.kind.to_toml(setting.default)}`"
                meaning = f"{setting.doc}<br>Allowed: {setting.kind.allowed}."
                parts += row(f"`{setting.name}`{flag}", default, meaning)
    return "".join(parts)


def commands_page() -> str:
    """Return the page of all commands, with the options of each."""
    return NOTE + COMMANDS + "".join(section(*each) for each in commands())


def commands() -> Iterator[tuple[click.Command, click.Context]]:
    """Yield every command below `chatify-stream`, groups before their members."""
    pending: list[tuple[click.Command, click.Context]] = [
        (
            command_line,
            click.Context(
                command_line, info_name="chatify-stream", **command_line.context_settings
            ),
        )
    ]
    while pending:
        group, parent = pending.pop(0)
        if group is not command_line:
            yield group, parent
        if isinstance(group, click.Group):
            names = group.list_commands(parent)
            members = [(group.get_command(parent, name), name) for name in names]
            pending[:0] = [
                (command, click.Context(command, info_name=name, parent=parent))
                for command, name in members
                if command is not None
            ]


def flags_of(command: click.Command, context: click.Context) -> list[str]:
    return [each.opts[0] for each in command.get_params(context) if isinstance(each, click.Option)]


def section(command: click.Command, context: click.Context) -> str:
    by_flag = {setting.flag: setting for setting in all_settings()}
    usage = [context.command_path]
    own, shared = [], []
    for each in command.get_params(context):
        if isinstance(each, click.Argument):
            usage.append(each.make_metavar(context))
        elif isinstance(each, click.Option) and each.opts[0] in by_flag:
            shared.append(f"`{'`/`'.join(each.opts + each.secondary_opts)}`")
        elif isinstance(each, click.Option) and each.opts[0] not in EVERYWHERE:
            flags = f"`{', '.join(each.opts)}{metavar(each)}`"
            own.append(row(flags, " ".join((each.help or "").split())))
    parts = [f"\n## `{context.command_path}`\n\n", markdown(command.help or ""), "\n"]
    if not isinstance(command, click.Group):
        parts.append(f"\n```text\n{' '.join([usage[0], '[OPTIONS]', *usage[1:]])}\n```\n")
    if own:
        parts.append(f"\n{row('option', 'meaning')}| --- | --- |\n{''.join(own)}")
    if shared:
        parts.append(f"\nFlags of [settings](settings.md): {', '.join(shared)}.\n")
    return "".join(parts)


def metavar(option: click.Option) -> str:
    if option.is_flag or option.count:
        return ""
    return f" {option.metavar or option.type.name.split()[0].upper()}"


def row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |\n".replace(
        "|  |", "| |"
    )


def markdown(help_text: str) -> str:
    """Return the help text as Markdown, where backslash, asterisk and `<` have a meaning."""
    return re.sub(r"([\\*<])", r"\\\1", inspect.cleandoc(help_text).replace("\b\n", ""))


def badge(label: str, value: str) -> str:
    """Return an SVG image with a label and a value."""
    left, right = 7 * len(label) + 12, 7 * len(value) + 12
    style = 'font-family="Verdana, DejaVu Sans, sans-serif" font-size="11" fill="#fff"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img">\n'
        f"<title>{label}: {value}</title>\n"
        f'<rect width="{left + right}" height="20" rx="3" fill="#2f7fb5"/>\n'
        f'<path d="M3 0h{left - 3}v20h-{left - 3}a3 3 0 0 1-3-3v-14a3 3 0 0 1 3-3" fill="#555"/>\n'
        f'<text x="6" y="14" textLength="{left - 12}" {style}>{label}</text>\n'
        f'<text x="{left + 6}" y="14" textLength="{right - 12}" {style}>{value}</text>\n'
        "</svg>\n"
    )


def badges() -> dict[str, str]:
    """Return the badges of the README by their file names."""
    project = tomllib.loads((DOCS.parent / "pyproject.toml").read_text(encoding="utf-8"))
    versions = [
        name.rpartition(" ")[2]
        for name in project["project"]["classifiers"]
        if re.fullmatch(r"Programming Language :: Python :: \d\.\d+", name)
    ]
    strict = "mypy strict" if project["tool"]["mypy"]["strict"] else "mypy"
    return {
        "images/python.svg": badge("python", " | ".join(versions)),
        "images/wheel.svg": badge("wheel", "any platform"),
        "images/types.svg": badge("types", strict),
        "images/license.svg": badge("license", project["project"]["license"]),
    }


def files() -> dict[str, str]:
    """Return everything that is generated, by its path below docs."""
    pages = {"reference/settings.md": settings_page(), "reference/cli.md": commands_page()}
    return pages | badges()


def main() -> None:
    for name, text in files().items():
        (DOCS / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
