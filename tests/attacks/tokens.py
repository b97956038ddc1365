"""Attacks by tokens, on a server that asks for them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
import time
from collections.abc import Iterator
from typing import Any

from .attacker import Attacker, call
from .table import Form, attack

__all__ = ["SECRET", "token"]

SECRET = b"a secret of the attacks, in tests alone"
"""That of the server."""

HS256 = {"alg": "HS256", "typ": "JWT"}


def text(value: Any) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    all_ = {"sub": "mallory", "iat": now, "exp": now + 3600} | changes
    return {name: value for name, value in all_.items() if value is not None}


def token(body: Any, header: Any = None, secret: bytes = SECRET) -> str:
    """Signed, whatever it says."""
    signed = f"{text(HS256 if header is None else header)}.{text(body)}"
    return f"{signed}.{text(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}"


def wrong_tokens() -> Iterator[str]:
    good = token(claims())
    header, body, signature = good.split(".")
    yield from ("", ".", "..", "...", good[:-4], good[4:], f"{good}.", f".{good}", f"{good}x")
    yield from (f"{header}.{body}.", f"{header}..{signature}", f"{header}.{body}.AAAA")
    for name in ("none", "None", "NONE", "nOnE", "", None, 0, [], {}):
        yield f"{text({'alg': name})}.{body}."
        yield token(claims(), {"alg": name})
    for name in (
        "HS384",
        "HS512",
        "RS256",
        "ES256",
        "PS256",
        "EdDSA",
        "HS256 ",
        "hs256",
        "x" * 5000,
    ):
        yield token(claims(), {"alg": name})
    yield token(claims(), HS256 | {"crit": ["exp"]})
    yield token(claims(), HS256 | {"kid": "../../../../dev/null"}, secret=b"")
    yield token(claims(), HS256 | {"kid": ["x"]})
    yield token(claims(), HS256 | {"jku": "http://127.0.0.1:1/keys", "jwk": {"kty": "oct"}}, b"k")
    yield token(claims(), secret=b"another secret, as long as the right one")
    yield token(claims(), secret=b"")
    for change in (
        {"exp": None},
        {"exp": 1},
        {"exp": "tomorrow"},
        {"exp": 1e400},
        {"exp": -1e400},
        {"exp": True},
        {"exp": [2**62]},
        {"nbf": 2**40},
        {"nbf": "x"},
        {"sub": None},
        {"sub": ""},
        {"sub": 1},
        {"sub": "a\nb"},
        {"sub": "x" * 200},
        {"sub": "\ud800"},
        {"aud": "another"},
        {"rooms": "all"},
        {"rooms": {"*": "root"}},
    ):
        yield token(claims(**change))
    for nested in (b"[" * 6000, b'{"a":' * 1000, b"1" * 6000, b"\xff", b"null", b"[]", b'"x"'):
        yield token(nested)
        yield token(claims(), nested)


@attack("UNAUTHENTICATED", together=20, with_tokens=True)
async def tokens_that_are_wrong(peer: Attacker, form: Form) -> str:
    """Malformed, `none`, of other algorithms and keys, expired, nested, too large."""
    tokens = list(wrong_tokens())
    for index, each in enumerate(tokens):
        await peer.send(call(2 * index + 1, ("authorization", f"Bearer {each}".strip())))
    return await peer.answers(range(1, 2 * len(tokens), 2))


@attack("UNAUTHENTICATED", together=20, with_tokens=True)
async def what_is_no_token(peer: Attacker, form: Form) -> str:
    """None, other schemes, two of them, characters at random, and damaged tokens."""
    chance = random.Random(form.scale)
    good = token(claims())
    wrong: list[list[tuple[str, str]]] = [
        [],
        [("authorization", "Basic YTpi")],
        [("authorization", good)],
        [("authorization", "Bearer")],
        [("authorization", f"Bearer {good}")] * 2,
        [("authorization", f"Bearer {good} {good}")],
        [("authorization-bin", text(good.encode()))],
        [("authorization", "Bearer " + "A" * 15_000)],
    ]
    for _ in range(form.times(400)):
        random_text = "".join(map(chr, chance.choices(range(33, 127), k=chance.randrange(1, 300))))
        place = chance.randrange(len(good))
        other = chance.choice([each for each in "AZaz09-_.%" if each != good[place]])
        damaged = good[:place] + other + good[place + 1 :]
        wrong += [[("authorization", f"Bearer {each}")] for each in (random_text, damaged)]
    for index, fields in enumerate(wrong):
        await peer.send(call(2 * index + 1, *fields))
    return await peer.answers(range(1, 2 * len(wrong), 2))
