"""What is to be known before any test is imported."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("chatify_stream.testing")
