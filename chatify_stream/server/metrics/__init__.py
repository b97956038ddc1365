"""Metrics of a server, for Prometheus. Needs the extra `metrics`."""
