"""Reply templates such as "Hello {name}"."""

from __future__ import annotations

import string
from collections.abc import Callable

DEFAULT_TEMPLATE = "Hello {name}"


def reply_template(template: str) -> Callable[[str], str]:
    """Return a function that replaces each `{name}` in the template by its argument.

    `{{` and `}}` are literal braces. Raises `ValueError` for any other field, and for an unmatched
    brace.
    """
    pieces: list[str | None] = []
    try:
        for text, field, spec, conversion in string.Formatter().parse(template):
            pieces.append(text)
            if field is None:
                continue
            if field != "name" or spec or conversion:
                tail = (f"!{conversion}" if conversion else "") + (f":{spec}" if spec else "")
                raise ValueError(f"unknown field {{{field}{tail}}}")
            pieces.append(None)
    except ValueError as error:
        raise ValueError(
            f"{error}; write {{name}} for the message, and {{{{ or }}}} for a brace"
        ) from None

    if pieces.count(None) == 1:  # the usual case
        place = pieces.index(None)
        before, after = (
            "".join(piece or "" for piece in part) for part in (pieces[:place], pieces[place + 1 :])
        )
        return lambda name: before + name + after
    return lambda name: "".join(name if piece is None else piece for piece in pieces)
