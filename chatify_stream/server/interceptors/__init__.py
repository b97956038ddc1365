"""Interceptors: code that runs around the handler of every call."""
