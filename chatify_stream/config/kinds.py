"""The kinds of values that settings have: how to check, parse and write each kind.

A value is checked regardless of its source. Text from the environment or from a flag is first
converted to the value that TOML would give.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from ..limits import MAX_NUMBER
from ..limits import Rate as RateLimit

Number = TypeVar("Number", int, float)

HIDDEN = "(hidden)"
"""Shown in place of a secret."""


class Kind:
    """A kind of values."""

    optional: bool = False
    """Allow None, for no limit or no value, which is written as "none"."""

    @property
    def allowed(self) -> str:
        """The allowed values, as a phrase after "use"."""
        return f'{self._phrase()}, or "none"' if self.optional else self._phrase()

    def check(self, value: Any) -> Any:
        """Return the value as the settings hold it.

        Raises `ValueError` for a value that is not allowed, with a reason if that is not obvious.
        """
        return None if self.optional and value in ("none", None) else self._check(value)

    def from_text(self, text: str) -> Any:
        """Convert text to a value for `check`. Raises `ValueError`."""
        return text if self.optional and text == "none" else self._parse(text)

    def to_toml(self, value: Any) -> str:
        """Return the TOML expression of a value that `check` returned."""
        return '"none"' if value is None else self._write(value)

    # Subclasses define these for values other than None; by default, a value is a text in TOML.

    def _phrase(self) -> str:
        raise NotImplementedError

    def _check(self, value: Any) -> Any:
        raise NotImplementedError

    def _parse(self, text: str) -> Any:
        return text

    def _write(self, value: Any) -> str:
        return _toml_string(value)


@dataclass(frozen=True)
class Integer(Kind):
    """A whole number between two bounds."""

    minimum: int
    maximum: int
    unit: str = ""
    optional: bool = False

    def _phrase(self) -> str:
        of_unit = f" of {self.unit}" if self.unit else ""
        return f"a whole number{of_unit} from {self.minimum} to {self.maximum}"

    def _check(self, value: Any) -> int:
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        if not is_whole or not self.minimum <= value <= self.maximum:
            raise ValueError
        return int(value)

    def _parse(self, text: str) -> int:
        return _number(int, text)

    def _write(self, value: int) -> str:
        return str(value)


class _Decimal(Kind):
    def _parse(self, text: str) -> float:
        return _number(float, text)

    def _write(self, value: float) -> str:
        return _shortest(value)


@dataclass(frozen=True)
class Seconds(_Decimal):
    """A time in seconds, by default at most a day."""

    allow_zero: bool = False
    optional: bool = False
    maximum: int = 86400

    def _phrase(self) -> str:
        return (
            f"a number of seconds {'from' if self.allow_zero else 'above'} 0, up to {self.maximum}"
        )

    def _check(self, value: Any) -> float:
        return _check_number(value, self.maximum, allow_zero=self.allow_zero)


class Ratio(_Decimal):
    """A fraction."""

    def _phrase(self) -> str:
        return "a number from 0 to 1"

    def _check(self, value: Any) -> float:
        return _check_number(value, 1, allow_zero=True)


@dataclass(frozen=True)
class Text(Kind):
    """Text that a function accepts."""

    phrase: str
    verify: Callable[[str], object]
    """Raises `ValueError` for text that is not allowed."""

    def _phrase(self) -> str:
        return self.phrase

    def _check(self, value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError
        _check_unicode(value)
        self.verify(value)
        return value


@dataclass(frozen=True)
class OptionalText(Text):
    """Text that is not empty, or None."""

    verify: Callable[[str], object] = str
    optional = True

    def _check(self, value: Any) -> str:
        text = super()._check(value)
        if not text or "\0" in text:
            raise ValueError
        return text


class Secret(Kind):
    """Text that is never shown, or None."""

    optional = True

    def _phrase(self) -> str:
        return "printable ASCII without spaces"

    def _check(self, value: Any) -> str:
        if not isinstance(value, str) or not re.fullmatch(r"[!-~]+", value):
            raise ValueError
        return value

    def _write(self, value: str) -> str:
        return _toml_string(HIDDEN)


class Texts(Text):
    """A list of texts, separated by commas in flags and variables."""

    def _check(self, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            raise ValueError
        return tuple(map(super()._check, value))

    def _parse(self, text: str) -> list[str]:
        return _parts(text, ",")

    def _write(self, value: Sequence[str]) -> str:
        return _toml_list(value)


@dataclass(frozen=True)
class Rate(Kind):
    """A rate, such as "100, then 10/s"."""

    maximum: int = 1_000_000
    optional: bool = False

    @property
    def allowed(self) -> str:
        rate = 'a rate such as "100, then 10/s"'
        if self.optional:
            return f'{rate}, up to {self.maximum}, the first number whole; or "none"'
        return f"{rate}; both numbers above 0, up to {self.maximum}, the first whole"

    def _check(self, value: Any) -> RateLimit:
        if isinstance(value, str):
            match = re.fullmatch(r"\s*(\S+?)\s*,\s*then\s+(\S+?)\s*/\s*s\s*", value)
            if match is None:
                raise ValueError
            value = _number(int, match[1]), _number(float, match[2])
        if not isinstance(value, tuple) or len(value) != 2 or not isinstance(value[0], int):
            raise ValueError
        burst, per_second = (_check_number(number, self.maximum) for number in value)
        return RateLimit(int(burst), per_second)

    def _write(self, value: RateLimit) -> str:
        burst, per_second = value
        return _toml_string(f"{burst}, then {_shortest(per_second)}/s")


@dataclass(frozen=True)
class Retentions(Kind):
    """Retention rules, held as tuples of pattern, number of messages and seconds.

    In flags and variables, the rules are separated by semicolons.
    """

    max_seconds: int

    def _phrase(self) -> str:
        rule = '"support-*: 1000 messages, 3600 s"'
        return f"a list of rules such as {rule}, up to {self.max_seconds} s"

    def _check(self, value: Any) -> tuple[tuple[str, int, float], ...]:
        if not isinstance(value, list | tuple):
            raise ValueError
        return tuple(map(self._check_rule, value))

    def _parse(self, text: str) -> list[str]:
        return _parts(text, ";")

    def _write(self, value: Sequence[tuple[str, int, float]]) -> str:
        return _toml_list(
            f"{name}: {count} messages, {_shortest(age)} s" for name, count, age in value
        )

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
class Choice(Kind):
    """One of several words."""

    words: tuple[str, ...]

    def _phrase(self) -> str:
        return "one of " + ", ".join(map(_toml_string, self.words))

    def _check(self, value: Any) -> str:
        if not isinstance(value, str) or value not in self.words:
            raise ValueError
        return value


class Switch(Kind):
    """On or off."""

    def _phrase(self) -> str:
        return "true or false"

    def _check(self, value: Any) -> bool:
        if not isinstance(value, bool):
            raise ValueError
        return value

    def _parse(self, text: str) -> bool:
        if text.lower() not in ("true", "false"):
            raise ValueError
        return text.lower() == "true"

    def _write(self, value: bool) -> str:
        return str(value).lower()


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


def _toml_list(texts: Iterable[str]) -> str:
    return f"[{', '.join(map(_toml_string, texts))}]"


def _parts(text: str, separator: str) -> list[str]:
    return [part.strip() for part in text.split(separator)] if text.strip() else []
