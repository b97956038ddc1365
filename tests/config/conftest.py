"""Fixtures of the configuration tests."""

from pathlib import Path

import pytest

from .loading import WriteConfig


@pytest.fixture
def write(tmp_path: Path) -> WriteConfig:
    """Write a configuration file and return its path."""

    def write(content: str | bytes) -> Path:
        file = tmp_path / "chat.toml"
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return file

    return write
