"""Interceptors: what stands around the handlers of all calls, whatever their service."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping

from ...wire import MethodHandler, ServerStream

__all__ = ["CallHandler", "Interceptor", "intercepted"]

CallHandler = Callable[[ServerStream], Awaitable[None]]
"""Serves one call."""

Interceptor = Callable[[str, CallHandler], CallHandler]
"""Given the path of a method, `/package.Service/Method`, and its handler: the handler to use.

It is asked once for each method, when the server is made, and returns the handler as it is for a
method that is no concern of it. A handler that it returns may refuse the call, by raising a
`StatusError`, or set `stream.identity`, before it awaits the one that it was given.
"""


def intercepted(
    methods: Mapping[str, MethodHandler], interceptors: Iterable[Interceptor]
) -> dict[str, MethodHandler]:
    """The methods with the interceptors around their handlers, the first one outermost."""
    wrapped = dict(methods)
    for intercept in reversed(list(interceptors)):
        wrapped = {
            path: method._replace(func=intercept(path, method.func))
            for path, method in wrapped.items()
        }
    return wrapped
