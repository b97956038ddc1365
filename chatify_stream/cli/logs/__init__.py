"""The log: format, rate limit and background writing."""
