"""The kinds of values that settings have: how to check, parse and write each kind.

A value is checked regardless of its source. Text from the environment or from a flag is first
converted to the value that TOML would give.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from ..limits import MAX_NUMBER
from ..limits import Rate as RateLimit

Number = TypeVar("Number", int, float)

HIDDEN = "(hidden)"
"""Shown in place of a secret."""


class Kind(Protocol):
    """A kind of values."""

    @property
    def allowed(self) -> str:
        """The allowed values, as a phrase after "use"."""

    def check(self, value: Any) -> Any:
        """Return the value as the settings hold it.

        Raises `ValueError` for a value that is not allowed, with a reason if that is not obvious.
        """

    def from_text(self, text: str) -> Any:
        """Convert text to a value for `check`. Raises `ValueError`."""

    def to_toml(self, value: Any) -> str:
        """Return the TOML expression of a value that `check` returned."""


@dataclass(frozen=True)
class Integer:
    """A whole number between two bounds."""

    minimum: int
    maximum: int
    unit: str = ""
    optional: bool = False
    """Allow "none", for no limit."""

    @property
    def allowed(self) -> str:
        of_unit = f" of {self.unit}" if self.unit else ""
        numbers = f"a whole number{of_unit} from {self.minimum} to {self.maximum}"
        return f'{numbers}, or "none"' if self.optional else numbers

    def check(self, value: Any) -> int | None:
        if self.optional and value in ("none", None):
            return None
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError
        if not self.minimum <= value <= self.maximum:
            raise ValueError
        return value

    def from_text(self, text: str) -> int | str:
        return text if text == "none" else _number(int, text)

    def to_toml(self, value: int | None) -> str:
        return '"none"' if value is None else str(value)


@dataclass(frozen=True)
class Seconds:
    """A time in seconds, by default at most a day."""

    allow_zero: bool = False
    optional: bool = False
    """Allow "none", for no limit."""
    maximum: int = 86400

    @property
    def allowed(self) -> str:
        bounds = f"{'from' if self.allow_zero else 'above'} 0, up to {self.maximum}"
        numbers = f"a number of seconds {bounds}"
        return f'{numbers}, or "none"' if self.optional else numbers

    def check(self, value: Any) -> float | None:
        if self.optional and value in ("none", None):
            return None
        return _check_number(value, self.maximum, allow_zero=self.allow_zero)

    def from_text(self, text: str) -> float | str:
        return text if text == "none" else _number(float, text)

    def to_toml(self, value: float | None) -> str:
        return '"none"' if value is None else _shortest(value)


@dataclass(frozen=True)
class Ratio:
    """A fraction."""

    allowed = "a number from 0 to 1"

    def check(self, value: Any) -> float:
        return _check_number(value, 1, allow_zero=True)

    def from_text(self, text: str) -> float | str:
        return _number(float, text)

    def to_toml(self, value: float) -> str:
        return _shortest(value)


class _String:
    """The base of kinds that are a string in TOML."""

    def from_text(self, text: str) -> str:
        return text

    def to_toml(self, value: str) -> str:
        return _toml_string(value)


@dataclass(frozen=True)
class Text(_String):
    """Text that a function accepts."""

    allowed: str
    verify: Callable[[str], object]
    """Raises `ValueError` for text that is not allowed."""

    def check(self, value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError
        _check_unicode(value)
        self.verify(value)
        return value


@dataclass(frozen=True)
class OptionalText:
    """Like `Text`, or None, which is written as "none"."""

    kind: str
    verify: Callable[[str], object] = str

    @property
    def allowed(self) -> str:
        return f'{self.kind}, or "none"'

    def check(self, value: Any) -> str | None:
        if value in ("none", None):
            return None
        text = Text(self.allowed, self.verify).check(value)
        if not text or "\0" in text:
            raise ValueError
        return text

    def from_text(self, text: str) -> str:
        return text

    def to_toml(self, value: str | None) -> str:
        return _toml_string("none" if value is None else value)


@dataclass(frozen=True)
class Secret(_String):
    """Text that is never shown, or None, which is written as "none"."""

    @property
    def allowed(self) -> str:
        return 'printable ASCII without spaces, or "none"'

    def check(self, value: Any) -> str | None:
        if value in ("none", None):
            return None
        if not isinstance(value, str) or not re.fullmatch(r"[!-~]+", value):
            raise ValueError
        return value

    def to_toml(self, value: str | None) -> str:
        return _toml_string("none" if value is None else HIDDEN)


@dataclass(frozen=True)
class Texts:
    """A list of texts, separated by commas in flags and variables."""

    allowed: str
    verify: Callable[[str], object]

    def check(self, value: Any) -> tuple[str, ...]:
        if not isinstance(value, list | tuple):
            raise ValueError
        return tuple(map(Text(self.allowed, self.verify).check, value))

    def from_text(self, text: str) -> list[str]:
        return [part.strip() for part in text.split(",")] if text.strip() else []

    def to_toml(self, value: Sequence[str]) -> str:
        return f"[{', '.join(map(_toml_string, value))}]"


@dataclass(frozen=True)
class Rate:
    """A rate, such as "100, then 10/s"."""

    maximum: int = 1_000_000
    optional: bool = False
    """Allow "none", for no limit."""

    @property
    def allowed(self) -> str:
        rate = 'a rate such as "100, then 10/s"'
        if self.optional:
            return f'{rate}, up to {self.maximum}, the first number whole; or "none"'
        return f"{rate}; both numbers above 0, up to {self.maximum}, the first whole"

    def check(self, value: Any) -> RateLimit | None:
        if self.optional and value in ("none", None):
            return None
        if isinstance(value, str):
            value = self._parse(value)
        if not isinstance(value, tuple) or len(value) != 2:
            raise ValueError
        burst, per_second = value
        if not isinstance(burst, int):
            raise ValueError
        return RateLimit(
            int(_check_number(burst, self.maximum)), _check_number(per_second, self.maximum)
        )

    def from_text(self, text: str) -> str:
        return text

    def to_toml(self, value: RateLimit | None) -> str:
        if value is None:
            return '"none"'
        burst, per_second = value
        return _toml_string(f"{burst}, then {_shortest(per_second)}/s")

    def _parse(self, text: str) -> tuple[int, float]:
        match = re.fullmatch(r"\s*(\S+?)\s*,\s*then\s+(\S+?)\s*/\s*s\s*", text)
        if match is None:
            raise ValueError
        return _number(int, match[1]), _number(float, match[2])


@dataclass(frozen=True)
class Retentions:
    """Retention rules, held as tuples of pattern, number of messages and seconds.

    In flags and variables, the rules are separated by semicolons.
    """

    max_seconds: int

    @property
    def allowed(self) -> str:
        rule = '"support-*: 1000 messages, 3600 s"'
        return f"a list of rules such as {rule}, up to {self.max_seconds} s"

    def check(self, value: Any) -> tuple[tuple[str, int, float], ...]:
        if not isinstance(value, list | tuple):
            raise ValueError
        return tuple(map(self._check_rule, value))

    def from_text(self, text: str) -> list[str]:
        return [part.strip() for part in text.split(";")] if text.strip() else []

    def to_toml(self, value: Sequence[tuple[str, int, float]]) -> str:
        rules = (f"{name}: {count} messages, {_shortest(age)} s" for name, count, age in value)
        return f"[{', '.join(map(_toml_string, rules))}]"

    def _check_rule(self, value: Any) -> tuple[str, int, float]:
        if isinstance(value, str):
            _check_unicode(value)
            match = re.fullmatch(r"\s*(.*\S)\s*:\s*(\S+)\s+messages\s*,\s*(\S+)\s+s\s*", value)
            if match is None:
                raise ValueError(f"{value!r} is not such a rule")
            value = match[1], _number(int, match[2]), _number(float, match[3])
        if not isinstance(value, tuple) or len(value) != 3:
            raise ValueError
        pattern, count, age = value
        if not isinstance(pattern, str) or not isinstance(count, int):
            raise ValueError
        if not re.fullmatch(r"\S(.*\S)?", pattern):
            raise ValueError(f"{pattern!r} is not a pattern")
        count = int(_check_number(count, MAX_NUMBER, allow_zero=True))
        return pattern, count, _check_number(age, self.max_seconds)


@dataclass(frozen=True)
class Choice(_String):
    """One of several words."""

    words: tuple[str, ...]

    @property
    def allowed(self) -> str:
        return "one of " + ", ".join(map(_toml_string, self.words))

    def check(self, value: Any) -> str:
        if not isinstance(value, str) or value not in self.words:
            raise ValueError
        return value


@dataclass(frozen=True)
class Switch:
    """On or off."""

    @property
    def allowed(self) -> str:
        return "true or false"

    def check(self, value: Any) -> bool:
        if not isinstance(value, bool):
            raise ValueError
        return value

    def from_text(self, text: str) -> bool:
        words = {"true": True, "false": False}
        if text.lower() not in words:
            raise ValueError
        return words[text.lower()]

    def to_toml(self, value: bool) -> str:
        return "true" if value else "false"


def _number(kind: Callable[[str], Number], text: str) -> Number:
    try:
        return kind(text)
    except ValueError:
        raise ValueError from None  # the text of Python is for programmers


def _check_number(value: Any, maximum: int, *, allow_zero: bool = False) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError
    if not 0 <= value <= maximum or (value == 0 and not allow_zero):
        raise ValueError
    return float(value)


def _shortest(number: float) -> str:
    return repr(number).removesuffix(".0")


def _check_unicode(text: str) -> None:
    # Python represents bytes of flags and variables that are not UTF-8 as lone surrogates.
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("not UTF-8 text") from None


def _toml_string(text: str) -> str:
    # A JSON string is a TOML basic string, except that TOML requires DEL to be escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
