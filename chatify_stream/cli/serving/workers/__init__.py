"""`serve --workers N`: several processes that serve one port."""

from __future__ import annotations

from .supervisor import run_workers

__all__ = ["run_workers"]
