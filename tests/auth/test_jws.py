"""Signed tokens: taken apart strictly, verified with keys of the right type."""

import base64
import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chatify_stream.auth.jws import (
    InvalidTokenError,
    UnknownKeyError,
    parse,
    read_json,
    read_unverified,
    verify,
)
from chatify_stream.auth.keys import Key, jwks_keys, pem_key, secret_key

from .tokens import CLAIMS, SECRET, b64, by_hand, jwk, jwks, public_pem, signed

SECRET_KEY = secret_key(SECRET.encode())
HEADER = {"alg": "HS256", "typ": "JWT"}
VALID = signed()


def accept(text: str, *keys: Key) -> dict[str, Any]:
    token = parse(text)
    verify(token, keys or [SECRET_KEY])
    return read_json(token.payload, "payload")


@pytest.mark.parametrize("algorithm", ["HS256", "RS256", "PS256", "ES256", "ES384", "EdDSA"])
def test_every_algorithm(algorithm: str) -> None:
    """A token is accepted with its key, be that in a JWKS or a PEM."""
    assert accept(signed(algorithm=algorithm), *jwks_keys(jwks(jwk(algorithm)))) == CLAIMS
    if algorithm != "HS256":
        assert accept(signed(algorithm=algorithm), pem_key(public_pem(algorithm))) == CLAIMS


@pytest.mark.parametrize("typ", ["JWT", "jwt", "at+jwt", "application/at+jwt"])
def test_types(typ: str) -> None:
    """The types of tokens for access are accepted."""
    assert accept(signed(typ=typ)) == CLAIMS


def test_no_type() -> None:
    """A token need not say its type."""
    assert accept(by_hand({"alg": "HS256"}, CLAIMS)) == CLAIMS


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not a JSON Web Token: expected three parts"),
        ("a.b", "not a JSON Web Token: expected three parts"),
        (VALID + ".x", "not a JSON Web Token: expected three parts"),
        (VALID + "=", "not a JSON Web Token: the parts are not base64url"),
        (VALID + "\u0661", "not a JSON Web Token: the parts are not base64url"),
        ("..", "not a JSON Web Token: the parts are not base64url"),
        ("A.A.A", "not a JSON Web Token: the parts are not base64url"),
        (by_hand([], CLAIMS), "the header is not a JSON object"),
        (by_hand(b"{", CLAIMS), "the header is not a JSON object"),
        (by_hand(b"[" * 9000, CLAIMS), "the header is not a JSON object"),
        (by_hand(b'{"alg":"none","alg":"HS256"}', CLAIMS), "the header is not a JSON object"),
        (by_hand(b"\xff", CLAIMS), "the header is not a JSON object"),
        (by_hand('{"alg":"HS256"}'.encode("utf-16"), CLAIMS), "the header is not a JSON object"),
        (by_hand({}, CLAIMS), "the header names no algorithm"),
        (by_hand({"alg": None}, CLAIMS), "the header names no algorithm"),
        (by_hand({"alg": ["HS256"]}, CLAIMS), "the header names no algorithm"),
        (by_hand({"alg": "HS256", "kid": 1}, CLAIMS), "the kid in the header is not a string"),
        (
            by_hand({**HEADER, "crit": ["exp"]}, CLAIMS),
            "the header contains crit; no critical extension is supported",
        ),
        (
            by_hand({**HEADER, "typ": "logout+jwt"}, CLAIMS),
            "not an access token: typ in the header is not JWT or at+jwt",
        ),
        (by_hand({**HEADER, "alg": "none"}, CLAIMS), "not signed"),
        (by_hand({**HEADER, "alg": "NONE"}, CLAIMS), "not signed"),
        (".".join([b64(b'{"alg":"none"}'), b64(b"{}"), "AA"]), "not signed"),
        (
            by_hand({**HEADER, "alg": "HS512"}, CLAIMS),
            "signed with an algorithm that does not fit its key; use HS256",
        ),
        (by_hand(HEADER, b"[]"), "the payload is not a JSON object"),
        (by_hand(HEADER, b'{"exp": NaN}'), "the payload is not a JSON object"),
        (by_hand(HEADER, b'{"exp":1,"exp":2}'), "the payload is not a JSON object"),
        (by_hand(HEADER, '{"exp":1}'.encode("utf-16-le")), "the payload is not a JSON object"),
        (by_hand(HEADER, '{"exp":1}'.encode("utf-8-sig")), "the payload is not a JSON object"),
        (by_hand(HEADER, b'{"sub":"\xed\xa0\x80"}'), "the payload is not a JSON object"),
        (by_hand(HEADER, b'{"a":' * 5000), "the payload is not a JSON object"),
        (by_hand(HEADER, b"9" * 5000), "the payload is not a JSON object"),
    ],
)
def test_wrong(text: str, why: str) -> None:
    """What is no token, or not signed as its key has it, is refused with the reason."""
    with pytest.raises(InvalidTokenError) as info:
        accept(text)
    assert str(info.value) == why


def test_another_secret() -> None:
    """A token of somebody else is refused."""
    with pytest.raises(UnknownKeyError, match="the signature matches no known key"):
        accept(signed(secret="another secret, of thirty-two bytes"))


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_algorithm_confusion(algorithm: str) -> None:
    """A public key is never a secret: not as PEM, not as JWK, whatever its token says."""
    pem = public_pem(algorithm)
    keys = [pem_key(pem), *jwks_keys(jwks(jwk(algorithm, kid="k")))]
    for secret in (pem, pem.strip(), json.dumps(jwk(algorithm)).encode(), b""):
        for header in (HEADER, {**HEADER, "kid": "k"}):
            with pytest.raises(InvalidTokenError, match="does not fit its key"):
                accept(by_hand(header, CLAIMS, secret), *keys)


def test_a_key_of_another_type() -> None:
    """The algorithm has to be of the type of the key that the kid names."""
    keys = jwks_keys(jwks(jwk("HS256", kid="h"), jwk("RS256", kid="r"), jwk("ES256", kid="e")))
    assert accept(signed(algorithm="RS256", kid="r"), *keys) == CLAIMS
    for kid in ("h", "e"):
        with pytest.raises(InvalidTokenError, match="does not fit its key"):
            accept(signed(algorithm="RS256", kid=kid), *keys)


def test_the_algorithm_of_a_key() -> None:
    """A key that is for one algorithm alone is for no other."""
    keys = jwks_keys(jwks(jwk("RS256", alg="RS256")))
    with pytest.raises(InvalidTokenError, match="use RS256"):
        accept(signed(algorithm="PS256"), *keys)


def test_kid() -> None:
    """Of several keys the kid says which; one that is not known might become so."""
    other = b64(b"another secret, of thirty-two bytes")
    keys = jwks_keys(jwks(jwk("HS256", kid="a"), jwk("HS256", kid="b", k=other)))
    assert accept(signed(kid="a"), *keys) == CLAIMS
    assert accept(signed(), *keys) == CLAIMS
    with pytest.raises(InvalidTokenError, match="does not match the key that the token") as info:
        accept(signed(kid="b"), *keys)
    assert not isinstance(info.value, UnknownKeyError)
    with pytest.raises(UnknownKeyError, match="signed with an unknown key"):
        accept(signed(kid="c"), *keys)


def test_a_key_without_a_name() -> None:
    """A key that has no name is tried for every kid."""
    assert accept(signed(kid="anything")) == CLAIMS


def test_unverified() -> None:
    """A token can be looked at without keys."""
    assert read_unverified(VALID) == (HEADER, CLAIMS)


def mutated(draw: Any) -> str:
    text = draw(st.sampled_from([VALID, signed(kid="k")]))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(text)))
        match draw(st.sampled_from(["replace", "insert", "delete", "swap"])):
            case "replace":
                text = text[:at] + draw(st.characters()) + text[at + 1 :]
            case "insert":
                text = text[:at] + draw(st.text(max_size=3)) + text[at:]
            case "delete":
                text = text[:at] + text[at + draw(st.integers(1, 30)) :]
            case "swap":
                text = text[at:] + text[:at]
    return text


@settings(max_examples=400, deadline=None)
@given(st.composite(mutated)())
@example(VALID[:-1] + chr(ord(VALID[-1]) + 1))
@example(VALID.replace(".", "=.", 1))
@example(VALID + "\n")
def test_no_mutation_is_accepted(text: str) -> None:
    """Only the very token is accepted; anything else is refused, and in no other way."""
    if text in (VALID, signed(kid="k")):
        return
    with pytest.raises(InvalidTokenError):
        accept(text)


@given(st.sampled_from(range(1, 16)))
def test_one_spelling(bits: int) -> None:
    """The bits of the last character that stand for nothing have to be zero."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = alphabet[alphabet.index(VALID[-1]) ^ (bits & 3 or 1)]
    twin = VALID[:-1] + last
    assert base64.urlsafe_b64decode(twin.split(".")[2] + "=") == base64.urlsafe_b64decode(
        VALID.split(".")[2] + "="
    )
    with pytest.raises(InvalidTokenError, match="base64url"):
        accept(twin)
