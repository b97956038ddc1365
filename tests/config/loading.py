"""Helpers of the tests that load configurations."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chatify_stream.config import (
    load,
)
from chatify_stream.errors import ConfigError

WriteConfig = Callable[[str | bytes], Path]
PORT = "a whole number from 0 to 65535"
BYTES = "use a whole number of bytes from 1 to 2147483647"
RATE = 'use a rate such as "100, then 10/s"; both numbers above 0, up to 1000000, the first whole'


def problems_of(*args: Any, **kwargs: Any) -> list[str]:
    """Return the problems that `load` reports; it must fail."""
    with pytest.raises(ConfigError) as caught:
        load(*args, **kwargs)
    return [str(problem) for problem in caught.value.problems]
