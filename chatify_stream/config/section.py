"""The base of the sections of the settings: a frozen dataclass that checks its values."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

from ..errors import ConfigError, ConfigProblem
from ..limits import MAX_NUMBER
from .broker_url import hide_passwords
from .kinds import HIDDEN, Integer, Kind, Rate, Seconds, Secret


def setting(default: Any, kind: Kind, doc: str, *, flag: str | None = None) -> Any:
    """Return the field of a setting. `flag` is its flag if it does not follow from its name."""
    return dataclasses.field(default=default, metadata={"kind": kind, "doc": doc, "flag": flag})


@dataclass(frozen=True)
class Setting:
    """The description of one setting."""

    section: str
    key: str
    kind: Kind
    doc: str
    default: Any
    own_flag: str | None

    @property
    def name(self) -> str:
        return f"{self.section}.{self.key}"

    @property
    def variable(self) -> str:
        return f"CHATIFY_STREAM_{self.section}_{self.key}".upper()

    @property
    def flag(self) -> str:
        """The flag of the setting, in commands that have it."""
        is_long = self.section in ("auth", "log", "metrics", "rooms", "tls", "tracing")
        words = f"{self.section}-{self.key}" if is_long else self.key
        return self.own_flag or "--" + words.replace("_", "-")


@dataclass(frozen=True)
class Section:
    """A section of the settings.

    Creating one raises `ConfigError`, with a problem for each value that is not allowed.
    """

    section_name: ClassVar[str]

    def __init_subclass__(cls, *, section: str, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.section_name = section

    @classmethod
    def describe(cls) -> list[Setting]:
        """Return the descriptions of the settings, in order.

        The settings of a section that inherits from `Limits` or `UsageLimits` come from there.
        """
        return [
            Setting(
                cls.section_name,
                field.name,
                field.metadata.get("kind") or _limit_kind(field),
                field.metadata["doc"],
                field.default,
                field.metadata.get("flag"),
            )
            for field in dataclasses.fields(cls)
        ]

    def __post_init__(self) -> None:
        problems = []
        for each in self.describe():
            value = getattr(self, each.key)
            try:
                object.__setattr__(self, each.key, each.kind.check(value))
            except ValueError as error:
                text = problem_text(each.name, value, each.kind, error)
                problems.append(ConfigProblem(type(self).__name__, text))
        if problems:
            raise ConfigError(problems)


def _limit_kind(limit: dataclasses.Field[Any]) -> Kind:
    is_optional = "None" in str(limit.type)
    if "Rate" in str(limit.type):
        return Rate(MAX_NUMBER, optional=True) if is_optional else Rate()
    if "float" in str(limit.type):
        return Seconds(optional=is_optional)
    return Integer(1, MAX_NUMBER, limit.metadata["unit"], optional=is_optional)


def problem_text(name: str, value: Any, kind: Kind, error: ValueError) -> str:
    text = str(error).removesuffix(f"; use {kind.allowed}")
    reason = f" ({text})" if text else ""
    if isinstance(kind, Secret):
        value = HIDDEN
    elif isinstance(value, str):
        value = hide_passwords(value)
    return f"{name} = {value!r} is not allowed; use {kind.allowed}{reason}"
