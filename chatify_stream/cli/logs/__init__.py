"""Log output: format, rate limit and background writing."""
