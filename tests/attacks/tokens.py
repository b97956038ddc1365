"""Attacks by tokens, on a server that asks for them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from .attacker import Attacker, call
from .minting import HS256, PUBLIC, claims, public_bytes, text, token
from .sites import TOKENS
from .table import Form, attack


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
    yield from confused_tokens()
    yield from tokens_of_other_spellings()


def confused_tokens() -> Iterator[str]:
    """The public key taken for a secret, and signatures of it that anybody can make."""
    der = public_bytes(Encoding.DER)
    for secret in (PUBLIC, PUBLIC.rstrip(), der, der[-64:], der[-65:], der[-64:-32]):
        yield token(claims(), secret=secret)
        yield token(claims(), {"alg": "ES256"}, secret=secret)
    signed = f"{text({'alg': 'ES256'})}.{text(claims())}"
    order = bytes.fromhex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551")
    for signature in (bytes(64), bytes(63), order * 2, b"\xff" * 64, b"\x30\x06\2\1\0\2\1\0"):
        yield f"{signed}.{text(signature)}"


def tokens_of_other_spellings() -> Iterator[str]:
    """Signed by the right key, and not as RFC 7519 has it: names twice, other codes, other base64.

    Whoever stands before the server might read them otherwise than it does.
    """
    body = json_of(claims())
    for other in (
        body.replace(b'"sub"', b'"sub":"root","sub"'),
        body.replace(b'"exp"', b'"exp":1,"exp"'),
        b"\xef\xbb\xbf" + body,
        *(body.decode().encode(code) for code in ("utf-16", "utf-16-le", "utf-32-be")),
        body.replace(b"mallory", b"\xed\xa0\x80"),
        body.replace(b"mallory", b"\xc1\xa1da"),
        body.replace(b'"mallory"', b"NaN"),
        body + b"{}",
        body[:-1],
        b"{" + b'"x":{' * 1500,
        body.replace(b"{", b'{"x":' + b"9" * 5000 + b","),
    ):
        yield token(other)
    for header in (HS256, {"alg": "HS256", "alg\0": "none"}):
        yield token(body + b"\0", header)
    yield token(body, b'{"alg":"none","alg":"HS256"}')
    yield token(body, json_of(HS256).decode().encode("utf-16"))
    first, second, third = token(claims()).split(".")
    yield f"{first}.{second}.{third}="
    yield f"{first}=.{second}.{third}"
    yield f"{first}.{second}.{third[:-1]}{'BCD'['BCD'.find(third[-1]) - 1]}"
    yield f"{first}.{second}.{third.replace('-', '+').replace('_', '/')}+"
    yield f"{first}%2e{second}%2e{third}"


def json_of(value: Any) -> bytes:
    return json.dumps(value).encode()


@attack("UNAUTHENTICATED", together=20, site=TOKENS)
async def invalid_tokens(peer: Attacker, form: Form) -> str:
    """Malformed, `none`, of other algorithms and keys, expired, nested, too large."""
    tokens = list(wrong_tokens())
    for index, each in enumerate(tokens):
        await peer.send(call(2 * index + 1, ("authorization", f"Bearer {each}".strip())))
    return await peer.answers(range(1, 2 * len(tokens), 2))


@attack("UNAUTHENTICATED", together=20, site=TOKENS)
async def malformed_tokens(peer: Attacker, form: Form) -> str:
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
