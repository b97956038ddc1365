"""Load the settings: flags override the environment, and the environment overrides the file.

All problems are collected, so that one run reports every one of them.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ConfigError, ConfigProblem
from .kinds import HIDDEN
from .section import Setting, problem_text
from .settings import SECTIONS, Settings, all_settings

PREFIX = "CHATIFY_STREAM_"

CONFIG_VARIABLE = "CHATIFY_STREAM_CONFIG"
"""The variable with the path of the configuration file, like the flag --config."""

# Kubernetes and Docker set these in every container, for each service whose name starts with ours;
# `CHATIFY_STREAM_PORT` and similar variables then hold a URL.
_SERVICE_LINK = re.compile(
    PREFIX + r"(\w+_)?(SERVICE_(HOST|PORT)(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?|PORT=\w+://.*)"
)

_SECRET = re.compile("tok|secret|passw", re.IGNORECASE)


class _Text(str):
    """A value from the environment or a flag; its text may represent another type."""

    __slots__ = ()


@dataclass(frozen=True)
class Loaded:
    """The settings, with the source of each value."""

    settings: Settings
    sources: Mapping[str, str]
    """By `section.key`: "default", or the file, environment variable or flag."""


def load(
    file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, str | bool] | None = None,
) -> Loaded:
    """Load the settings.

    `flags` contains the values from the command line by `section.key`. Raises `ConfigError`, with
    every problem found.
    """
    problems: list[ConfigProblem] = []
    known = {setting.name: setting for setting in all_settings()}
    values = {name: setting.default for name, setting in known.items()}
    sources = dict.fromkeys(known, "default")

    def take(setting: Setting, raw: Any, source: str) -> None:
        from_text = isinstance(raw, _Text)
        try:
            value = setting.kind.from_text(raw) if from_text else raw
            values[setting.name] = setting.kind.check(value)
            sources[setting.name] = source
        except ValueError as error:
            text = problem_text(setting.name, raw, setting.kind, error)
            problems.append(ConfigProblem(source, text))

    if file is not None:
        for setting, raw in _from_file(file, known, problems):
            take(setting, raw, str(file))
    for setting, text in _from_environment(environ or {}, known, problems):
        take(setting, _Text(text), setting.variable)
    for name, given in (flags or {}).items():
        value = _Text(given) if isinstance(given, str) else given
        take(known[name], value, known[name].flag)

    if problems:
        raise ConfigError(problems)
    sections = {
        section: cls(**{s.key: values[s.name] for s in known.values() if s.section == section})
        for section, cls in SECTIONS.items()
    }
    return Loaded(Settings(**sections), sources)  # type: ignore[arg-type] # each section has its own class


def _from_file(
    file: Path, known: Mapping[str, Setting], problems: list[ConfigProblem]
) -> Iterator[tuple[Setting, Any]]:
    def problem(text: str) -> None:
        problems.append(ConfigProblem(str(file), text))

    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError:
        return problem("not UTF-8 text; the configuration must be a TOML file")
    except OSError as error:
        return problem(f"cannot be read: {error.strerror}")
    except (ValueError, RecursionError) as error:  # tomllib raises others than its own
        return problem(f"not valid TOML: {error}")
    for section, table in tables.items():
        if section not in SECTIONS:
            problem(f"{section} is not a section; {_hint(_near(section, SECTIONS), SECTIONS)}")
            continue
        if not isinstance(table, dict):
            problem(f"{section} = {table!r} is not allowed; use a table: [{section}]")
            continue
        for key, value in table.items():
            setting = known.get(f"{section}.{key}")
            if setting is None:
                keys = [each.key for each in known.values() if each.section == section]
                hint = _hint(_near_setting(section, key, known), keys)
                problem(f"{section}.{key} = {_shown(key, value)} is not a setting; {hint}")
            else:
                yield setting, value


def _from_environment(
    environ: Mapping[str, str], known: Mapping[str, Setting], problems: list[ConfigProblem]
) -> Iterator[tuple[Setting, str]]:
    by_variable = {setting.variable: setting for setting in known.values()}
    for variable, text in sorted(environ.items()):
        if not variable.startswith(PREFIX) or variable == CONFIG_VARIABLE:
            continue
        if _SERVICE_LINK.fullmatch(variable) or _SERVICE_LINK.fullmatch(f"{variable}={text}"):
            continue
        setting = by_variable.get(variable)
        if setting is None:
            near = " or ".join(_near_variables(variable, (*by_variable, CONFIG_VARIABLE)))
            hint = (
                f"did you mean {near}?"
                if near
                else "`chatify-stream config init` lists all settings"
            )
            problem = f"{_shown(variable, text)} is not a setting; {hint}"
            problems.append(ConfigProblem(variable, problem))
        else:
            yield setting, text


def _shown(name: str, value: Any) -> str:
    """Return the value of an unknown setting; hide it if its name suggests a secret."""
    return HIDDEN if _SECRET.search(name) else repr(value)


def _hint(near: str | None, words: Collection[str]) -> str:
    return f"use one of {', '.join(words)}" if near is None else f"did you mean {near}?"


def _near_variables(variable: str, known: Collection[str]) -> list[str]:
    """Return variables with the same key in other sections, or else the most similar one."""
    # Without the prefix, which makes all names similar.
    rest = variable.upper().removeprefix(PREFIX)
    rests = [name.removeprefix(PREFIX) for name in known]
    key = rest.partition("_")[2]
    near = [each for each in rests if key and each.partition("_")[2] == key]
    if rest in near or not near:
        near = difflib.get_close_matches(rest, rests, n=1)
    return [PREFIX + each for each in near]


def _near_setting(section: str, key: str, known: Mapping[str, Setting]) -> str | None:
    """Return the most similar key of this section, or else the names in other sections."""
    near = _near(key, [each.key for each in known.values()])
    if f"{section}.{near}" in known:
        return near
    return " or ".join(each.name for each in known.values() if each.key == near) or None


def _near(word: str, words: Collection[str]) -> str | None:
    return next(iter(difflib.get_close_matches(word, words, n=1)), None)
