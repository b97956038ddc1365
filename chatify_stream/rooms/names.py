"""Validation of the names of rooms and users, and of message ids. No I/O."""

from __future__ import annotations

import unicodedata

MAX_NAME_LENGTH = 128
"""Maximum number of characters of a name or an id."""


def check_name(kind: str, name: str) -> str:
    """Return `name` if it is a valid name. `kind` is "room" or "user".

    A name has 1 to 128 characters. It contains no control character, line end or surrogate, and
    does not begin or end with a space. Raises `ValueError` with a text for the client.
    """
    if not name:
        raise ValueError(f"the {kind} name is empty; use 1 to {MAX_NAME_LENGTH} characters")
    if len(name) > MAX_NAME_LENGTH:
        raise ValueError(
            f"the {kind} name has {len(name)} characters; at most {MAX_NAME_LENGTH} are allowed"
        )
    for character in "" if name.isprintable() else name:
        # Control characters, lone surrogates, and the separators of lines and paragraphs.
        if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
            raise ValueError(
                f"the {kind} name {name!r} has the control character U+{ord(character):04X}, "
                "which is not allowed"
            )
    if name[0].isspace() or name[-1].isspace():
        raise ValueError(
            f"the {kind} name {name!r} begins or ends with a space, which is not allowed"
        )
    return name


def check_id(message_id: str) -> str:
    """Return `message_id` if it is valid.

    An id has at most 128 characters and contains no surrogate, because one id that cannot be
    encoded would make a whole log unreadable. It may be empty. Raises `ValueError` with a text for
    the client.
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
