"""The reply as a template, for those who do not write Python."""

from __future__ import annotations

import string
from collections.abc import Callable

__all__ = ["DEFAULT_TEMPLATE", "reply_template"]

DEFAULT_TEMPLATE = "Hello {name}"


def reply_template(template: str) -> Callable[[str], str]:
    """A reply that puts the message in place of each `{name}`; `{{` and `}}` stand for braces.

    Raises `ValueError` for any other field, and for a brace without its partner.
    """
    pieces: list[str | None] = []
    try:
        for text, field, spec, conversion in string.Formatter().parse(template):
            pieces.append(text)
            if field is None:
                continue
            if field != "name" or spec or conversion:
                tail = (f"!{conversion}" if conversion else "") + (f":{spec}" if spec else "")
                raise ValueError(f"{{{field}{tail}}} is not known")
            pieces.append(None)
    except ValueError as error:
        raise ValueError(
            f"{error}: write {{name}} where the message goes, and {{{{ or }}}} for a brace"
        ) from None

    if pieces.count(None) == 1:  # the usual case
        place = pieces.index(None)
        before, after = (
            "".join(piece or "" for piece in part) for part in (pieces[:place], pieces[place + 1 :])
        )
        return lambda name: before + name + after
    return lambda name: "".join(name if piece is None else piece for piece in pieces)
