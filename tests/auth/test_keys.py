"""Keys from files: which are taken, and what is said of those that are not."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from chatify_stream import UsageError
from chatify_stream.auth.keys import (
    MAX_FILE_SIZE,
    jwks_keys,
    key_file,
    pem_key,
    secret_file,
    secret_key,
)

from .tokens import SECRET, b64, jwk, jwks, private_pem, public_pem, secret_path


def pem_of(key: Any) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def test_secret_file(tmp_path: Path) -> None:
    """A secret is what its file has, without the line end; and is shown nowhere."""
    key = secret_file(secret_path(tmp_path))
    assert (key.id, key.algorithms, key.material) == (None, ("HS256",), SECRET.encode())
    assert SECRET not in repr(key)


@pytest.mark.parametrize("secret", [b"", b"x" * 31])
def test_short_secret(secret: bytes) -> None:
    """A secret that can be guessed is refused."""
    with pytest.raises(UsageError, match=f"secret: {len(secret)} bytes, at least 32 required"):
        secret_key(secret)


def test_a_key_for_a_secret() -> None:
    """A public key is no secret."""
    with pytest.raises(UsageError, match="not a secret but a key"):
        secret_key(public_pem("RS256"))


def test_key_file(tmp_path: Path) -> None:
    """A file has a JWKS or a PEM; which, its content says."""
    path = tmp_path / "keys"
    path.write_bytes(jwks(jwk("HS256", kid="a"), jwk("ES256", kid="b")))
    assert [(key.id, key.algorithms) for key in key_file(path)] == [
        ("a", ("HS256",)),
        ("b", ("ES256",)),
    ]
    path.write_bytes(b"\n" + public_pem("EdDSA"))
    assert [(key.id, key.algorithms) for key in key_file(path)] == [(None, ("EdDSA",))]
    path.write_text("secret words")
    with pytest.raises(UsageError) as info:
        key_file(path)
    assert (
        str(info.value) == f'{path}: not a JWKS; expected JSON such as {{"keys": [{{"kty": ...}}]}}'
    )


def test_keys_are_equal(tmp_path: Path) -> None:
    """Keys that are read twice are equal, so that a change is noticed."""
    path = tmp_path / "keys"
    path.write_bytes(jwks(*(jwk(name, kid=name) for name in ("HS256", "RS256", "ES256", "EdDSA"))))
    assert key_file(path) == key_file(path)


def test_unreadable_files(tmp_path: Path) -> None:
    """A file that is not there, or too large, is told as such."""
    with pytest.raises(UsageError, match="cannot read: No such file or directory"):
        key_file(tmp_path / "keys")
    with pytest.raises(UsageError, match="cannot read: Is a directory"):
        secret_file(tmp_path)
    with pytest.raises(UsageError, match="not a valid path"):
        secret_file("a\0b")
    (tmp_path / "large").write_bytes(b" " * (MAX_FILE_SIZE + 1))
    with pytest.raises(UsageError, match="larger than 1048576 bytes"):
        key_file(tmp_path / "large")


def test_wrong_pem() -> None:
    """Private, weak and unknown keys are refused, as is what is no key."""
    for data, why in [
        (private_pem("ES256"), "private key; pass the public key"),
        (
            b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
            "not a public key in PEM",
        ),
        (pem_of(rsa.generate_private_key(65537, 1024)), "1024 bits; at least 2048 required"),
        (pem_of(ec.generate_private_key(ec.SECP256K1())), "unsupported key; use RSA, EC on P-256"),
        (pem_of(dsa.generate_private_key(1024)), "unsupported key; use RSA, EC on P-256"),
    ]:
        with pytest.raises(UsageError, match=why):
            pem_key(data)


def test_keys_that_are_passed_over() -> None:
    """Keys for encryption, of unknown types, and for other algorithms, are for somebody else."""
    keys = jwks_keys(
        jwks(
            jwk("RS256", kid="enc", use="enc"),
            {"kty": "new", "kid": "new"},
            {},
            jwk("HS256", kid="a", alg="A256GCM"),
            jwk("RS256", kid="oaep", alg="RSA-OAEP"),
            jwk("HS256", kid="last", alg="HS512", use="sig"),
        )
    )
    assert [(key.id, key.algorithms) for key in keys] == [("last", ("HS512",))]


def test_private_part() -> None:
    """The private part of a JWK is not looked at."""
    [public] = jwks_keys(jwks(jwk("ES256")))
    [other] = jwks_keys(jwks(jwk("ES256", d="AAAA")))
    assert public == other


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "not a JWKS"),
        (b"[]", "not a JWKS"),
        (b'{"keys": {}}', "not a JWKS"),
        (b'{"keys": [1]}', "not a JWKS"),
        (b"[" * 9000, "not a JWKS"),
        (jwks(), "JWKS: no key to verify signatures with"),
        (jwks(*[{}] * 101), "JWKS: 101 keys; at most 100 are accepted"),
        (jwks(jwk("HS256", kid=5)), "JWKS: the kid of a key is not a string"),
        (jwks(jwk("HS256", kid="a", k=b64(b"short"))), "key 'a': secret: 5 bytes"),
        (jwks({"kty": "oct", "kid": "a"}), "key 'a': not a valid JWK"),
        (jwks({"kty": "RSA", "kid": "a", "n": "!", "e": "AQAB"}), "key 'a': not a valid JWK"),
        (jwks({"kty": "EC", "crv": "P-256", "x": 1, "y": 2}), "key None: not a valid JWK"),
    ],
)
def test_wrong_jwks(data: bytes, why: str) -> None:
    """What is no JWKS, or has a key that is wrong, is refused, and nothing of it is shown."""
    with pytest.raises(UsageError) as info:
        jwks_keys(data)
    assert str(info.value).startswith(why)


@given(
    st.recursive(
        st.none() | st.text() | st.integers(),
        lambda x: (
            st.lists(x)
            | st.dictionaries(
                st.sampled_from(["kty", "k", "n", "e", "x", "y", "crv", "kid", "alg", "use"]), x
            )
        ),
    )
)
def test_any_json(value: Any) -> None:
    """Whatever stands for a key fails in one way."""
    for entry in (value, {"kty": "RSA", "n": value, "e": value}, {"kty": "oct", "k": value}):
        try:
            jwks_keys(json.dumps({"keys": [entry]}).encode())
        except UsageError:
            pass


@pytest.mark.parametrize(
    ("blocked", "call", "text"),
    [
        ("jwt", "secret_key(b'x' * 32)", "pip install 'chatify-stream[auth]'"),
        ("cryptography", "pem_key(PEM)", "pip install 'chatify-stream[auth-keys]'"),
        ("cryptography", 'jwks_keys(b\'{"keys": [{"kty": "RSA"}]}\')', "[auth-keys]"),
    ],
)
@pytest.mark.process
def test_without_extra(blocked: str, call: str, text: str) -> None:
    """Without its extra a key is refused with what to install."""
    code = (
        f"import sys; sys.modules[{blocked!r}] = None\n"
        "from chatify_stream.auth.keys import jwks_keys, pem_key, secret_key\n"
        "from chatify_stream import UsageError\n"
        "PEM = b'-----BEGIN PUBLIC KEY-----'\n"
        f"try: {call}\nexcept UsageError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert text in done.stdout, done.stderr
