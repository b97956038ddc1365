"""Usage limits: how much one session, one user and one address may do."""

from __future__ import annotations

from ...limits import UsageLimits
from .interceptor import UsageControl
from .usage import Usage, UsageStatistics

__all__ = ["Usage", "UsageControl", "UsageLimits", "UsageStatistics"]
