"""Interceptors: functions that run around the handlers of all calls."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping

from ...wire import MethodHandler, ServerStream

__all__ = ["CallHandler", "Interceptor", "intercepted"]

CallHandler = Callable[[ServerStream], Awaitable[None]]
"""Serves one call."""

Interceptor = Callable[[str, CallHandler], CallHandler]
"""Takes the path of a method, `/package.Service/Method`, and its handler; returns a handler.

It is called once for each method, when the server starts. It returns the given handler for a method
that it does not concern. Another handler that it returns is awaited for each call, and awaits the
given handler. Before that it may set `stream.identity`, or reject the call by raising a
`StatusError`. When the call is cancelled, so is the handler.
"""


def intercepted(
    methods: Mapping[str, MethodHandler], interceptors: Iterable[Interceptor]
) -> dict[str, MethodHandler]:
    """Return the methods with the interceptors around their handlers, the first outermost."""
    wrapped = dict(methods)
    for intercept in reversed(list(interceptors)):
        wrapped = {
            path: method._replace(func=intercept(path, method.func))
            for path, method in wrapped.items()
        }
    return wrapped
