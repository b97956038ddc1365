"""Usage limits: how much one session, one user and one address may do."""

from __future__ import annotations

from .interceptor import UsageControl
from .limits import UsageLimits
from .usage import Usage, UsageStatistics

__all__ = ["Usage", "UsageControl", "UsageLimits", "UsageStatistics"]
