"""The names of rooms and users, and the ids of messages: what they may be. No I/O."""

from __future__ import annotations

import unicodedata

__all__ = ["MAX_NAME_LENGTH", "check_id", "check_name"]

MAX_NAME_LENGTH = 128
"""Characters of a name or an id."""


def check_name(what: str, name: str) -> str:
    """The name of a room or user, as `what` says; as it is. Raises `ValueError`, which says why.

    A name has 1 to 128 characters, none of which is a control character, a line end or half of a
    surrogate pair, and does not begin or end with a space.
    """
    if not name:
        raise ValueError(f"the {what} name is empty; use 1 to {MAX_NAME_LENGTH} characters")
    if len(name) > MAX_NAME_LENGTH:
        raise ValueError(
            f"the {what} name has {len(name)} characters; at most {MAX_NAME_LENGTH} are allowed"
        )
    _check_characters(f"the {what} name {name!r}", name)
    if name[0].isspace() or name[-1].isspace():
        raise ValueError(
            f"the {what} name {name!r} begins or ends with a space, which is not allowed"
        )
    return name


def check_id(message_id: str) -> str:
    """The id of a message, as it is; it may be empty. Raises `ValueError`.

    It has up to 128 characters, none of which is half of a surrogate pair.
    """
    if len(message_id) > MAX_NAME_LENGTH:
        raise ValueError(
            f"the id of the message has {len(message_id)} characters; "
            f"at most {MAX_NAME_LENGTH} are allowed"
        )
    try:
        message_id.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"the id of the message is not valid Unicode: {error.reason}") from None
    return message_id


def _check_characters(what: str, text: str) -> None:
    if text.isprintable():
        return
    for character in text:
        # Control characters, lone surrogates, and the separators of lines and paragraphs.
        if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
            raise ValueError(
                f"{what} has the control character U+{ord(character):04X}, which is not allowed"
            )
