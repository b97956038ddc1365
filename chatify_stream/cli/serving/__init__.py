"""Run a server until a signal stops it."""
