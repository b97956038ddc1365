"""Hold the shape of the package: small folders, modules of one idea, and no import cycles.

import-linter holds the layers. These tests also see imports inside functions and for type checkers.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "chatify_stream"
GENERATED = PACKAGE / "messages"

MAX_MODULES = 16
"""Modules in one folder."""

MAX_LINES = 500
"""Lines of one module."""

SMALL = 60
"""Lines below which a module is small."""

MAX_SMALL_SHARE = 0.12

MAX_TEST_LINES = 600
"""Lines of one file of the tests."""

FILES = [file for file in sorted(PACKAGE.rglob("*.py")) if GENERATED not in file.parents]
MODULES = [file for file in FILES if file.name not in ("__init__.py", "__main__.py")]


def count_lines(file: Path) -> int:
    return len(file.read_text(encoding="utf-8").splitlines())


def name_of(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {name_of(file): file for file in FILES}


def imports_of(name: str) -> Iterator[str]:
    """Yield the modules of the package that a module imports anywhere in its text."""
    file = NAMES[name]
    package = name.split(".") if file.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in NAMES)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                submodule = f"{origin}.{alias.name}"
                if submodule in NAMES:
                    yield submodule
                elif origin in NAMES:
                    yield origin


def test_folders() -> None:
    """No folder has more modules than a reader can take in."""
    counts = Counter(file.parent for file in MODULES)
    assert {str(folder): n for folder, n in counts.items() if n > MAX_MODULES} == {}


def test_long_modules() -> None:
    """No module is so long that it must hold a second idea."""
    assert [name_of(file) for file in MODULES if count_lines(file) > MAX_LINES] == []


def test_small_modules() -> None:
    """Few modules are crumbs."""
    small = [name_of(file) for file in MODULES if count_lines(file) < SMALL]
    assert len(small) <= MAX_SMALL_SHARE * len(MODULES), small


def test_cycles() -> None:
    """No module imports itself through others."""

    @cache
    def reachable(name: str) -> frozenset[str]:
        found: set[str] = set()
        waiting = [each for each in imports_of(name) if each != name]
        while waiting:
            each = waiting.pop()
            if each not in found:
                found.add(each)
                waiting += [more for more in direct(each) if more != each]
        return frozenset(found)

    @cache
    def direct(name: str) -> tuple[str, ...]:
        return tuple(imports_of(name))

    assert [name for name in NAMES if name in reachable(name)] == []


def test_long_test_files() -> None:
    """No file of the tests is long, apart from generated ones."""
    files = [file for file in (ROOT / "tests").rglob("*.py") if "messages" not in file.parts]
    assert [str(file) for file in files if count_lines(file) > MAX_TEST_LINES] == []
