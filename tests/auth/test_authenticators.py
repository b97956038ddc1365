"""Bearer tokens and client certificates: from a call to an identity."""

import ssl
from pathlib import Path
from typing import Any

import pytest
from multidict import MultiDict

from chatify_stream import Status, StatusError, UsageError
from chatify_stream.auth import (
    CertificateAuthenticator,
    Credentials,
    Identity,
    JwtAuthenticator,
)

from .key_server import serving_keys
from .tokens import CLAIMS, NOW, jwk, jwks, secret_path, signed

CERTIFICATE = {
    "subject": ((("organizationName", "Chat"),), (("commonName", "Ada"),)),
    "subjectAltName": (("DNS", "ada.example"), ("email", "ada@example"), ("URI", "spiffe://x/ada")),
    "notAfter": "Jan  5 09:34:43 2030 GMT",
}


def authenticator(folder: Path, **options: Any) -> JwtAuthenticator:
    options.setdefault("secret_file", secret_path(folder))
    return JwtAuthenticator(clock=lambda: NOW, **options)


async def identity(who: JwtAuthenticator, authorization: str) -> Identity:
    return await who.authenticate(Credentials("/a/b", {"authorization": authorization}))


async def refusal(who: JwtAuthenticator, metadata: Any) -> StatusError:
    with pytest.raises(StatusError) as info:
        await who.authenticate(Credentials("/a/b", metadata))
    return info.value


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", " Bearer  "])
async def test_bearer(scheme: str, tmp_path: Path) -> None:
    """A token is known by its scheme, in any case."""
    assert (await identity(authenticator(tmp_path), f"{scheme} {signed()}")).user == "ada"


@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        ({}, "no token; send the metadata authorization: Bearer TOKEN"),
        ({"authorization": ""}, "authorization: not a bearer token; send the metadata"),
        ({"authorization": "Bearer"}, "authorization: not a bearer token"),
        ({"authorization": "Basic YTpi"}, "authorization: not a bearer token"),
        ({"authorization": signed()}, "authorization: not a bearer token"),
        (
            MultiDict([("authorization", f"Bearer {signed()}")] * 2),
            "more than one authorization",
        ),
        ({"authorization": "Bearer a.b.c"}, "token rejected: not a JSON Web Token"),
        ({"authorization": f"Bearer {signed({})}"}, "token rejected: no exp"),
    ],
)
async def test_refused(metadata: Any, why: str, tmp_path: Path) -> None:
    """What is wrong is told, with what would be right; coming back with the same does not help."""
    error = await refusal(authenticator(tmp_path), metadata)
    assert error.status is Status.UNAUTHENTICATED
    assert str(error.message).startswith(why)
    assert error.metadata == {"chat-reconnect": "no"}


async def test_expired(tmp_path: Path) -> None:
    """Who has an expired token is told to come back, since a new one helps."""
    token = signed(CLAIMS | {"exp": NOW - 60})
    error = await refusal(authenticator(tmp_path), {"authorization": f"Bearer {token}"})
    assert str(error) == ("UNAUTHENTICATED: token rejected: expired; request a new token")
    assert error.metadata == {"chat-reconnect": "yes"}


async def test_no_error_shows_the_token(tmp_path: Path) -> None:
    """No error, and no text of a call, has the token or a part of it."""
    for token in (signed(CLAIMS | {"exp": 0}), signed(secret="x" * 32), "secretsecret.a.b"):
        call = Credentials("/a/b", {"authorization": f"Bearer {token}"})
        with pytest.raises(StatusError) as info:
            await authenticator(tmp_path).authenticate(call)
        for part in token.split("."):
            assert len(part) < 6 or part not in f"{info.value!r} {info.value} {call!r}"


async def test_rotation_in_a_file(tmp_path: Path) -> None:
    """A reload brings the next key, and takes the last one away when it is gone."""
    path = tmp_path / "jwks"
    first, second = jwk("RS256", kid="1"), jwk("ES256", kid="2")
    old, new = signed(algorithm="RS256", kid="1"), signed(algorithm="ES256", kid="2")
    path.write_bytes(jwks(first))
    who = authenticator(tmp_path, secret_file=None, keys=str(path))
    assert (await identity(who, f"Bearer {old}")).user == "ada"
    error = await refusal(who, {"authorization": f"Bearer {new}"})
    assert "signed with an unknown key" in str(error)
    path.write_bytes(jwks(first, second))
    assert who.reload()
    for token in (old, new):
        assert (await identity(who, f"Bearer {token}")).user == "ada"
    path.write_bytes(jwks(second))
    assert who.reload()
    assert (await identity(who, f"Bearer {new}")).user == "ada"
    assert (await refusal(who, {"authorization": f"Bearer {old}"})).status.name == "UNAUTHENTICATED"


async def test_rotation_at_a_url(tmp_path: Path) -> None:
    """A key that is not known is looked for where the keys come from, and not for each call."""
    with serving_keys() as server:
        server.answer = (200, jwks(jwk("HS256", kid="1")))
        who = authenticator(tmp_path, secret_file=None, keys=server.url, interval=0)
        assert (await identity(who, f"Bearer {signed(kid='1')}")).user == "ada"
        server.answer = (200, jwks(jwk("HS256", kid="1"), jwk("EdDSA", kid="2")))
        token = signed(algorithm="EdDSA", kid="2")
        assert (await identity(who, f"Bearer {token}")).user == "ada"
        assert (await identity(who, f"Bearer {signed(kid='1')}")).user == "ada"
        assert server.asked == 2


async def test_no_keys_yet(tmp_path: Path) -> None:
    """While no keys could be fetched nobody can be known, and it is not the callers' fault."""
    with serving_keys() as server:
        server.answer = (503, b"")
        who = authenticator(tmp_path, secret_file=None, keys=server.url)
        error = await refusal(who, {"authorization": f"Bearer {signed()}"})
    assert error.status is Status.UNAVAILABLE
    assert error.metadata == {"chat-reconnect": "yes"}


def test_nothing_to_verify_with() -> None:
    """There has to be a secret or keys."""
    with pytest.raises(UsageError, match="no key to verify tokens with"):
        JwtAuthenticator()


def call(certificate: dict[str, Any] | None) -> Credentials:
    return Credentials("/a/b", {}, "127.0.0.1", certificate)


@pytest.mark.parametrize(
    ("kind", "user"),
    [("cn", "Ada"), ("dns", "ada.example"), ("email", "ada@example"), ("uri", "spiffe://x/ada")],
)
async def test_certificate_user(kind: Any, user: str) -> None:
    """The user is the name that was asked for, until the certificate expires."""
    found = await CertificateAuthenticator(user=kind).authenticate(call(CERTIFICATE))
    assert (found.user, found.how) == (user, "certificate")
    assert found.expires_at == ssl.cert_time_to_seconds("Jan  5 09:34:43 2030 GMT")
    assert found.grants.allows("send", "lobby")
    assert not found.is_admin


async def test_certificate_rights() -> None:
    """Administrators are known by their names; the others have the default rights."""
    authenticator = CertificateAuthenticator(admins=["A*"], default_rights=["join"])
    assert (await authenticator.authenticate(call(CERTIFICATE))).is_admin
    bob = {"subject": ((("commonName", "Bob"),),)}
    found = await authenticator.authenticate(call(bob))
    assert found.grants.allows("join", "lobby")
    assert not found.grants.allows("read", "lobby")
    assert found.expires_at is None


@pytest.mark.parametrize(
    ("kind", "certificate", "why"),
    [
        ("cn", None, "no client certificate; connect over TLS with a certificate"),
        ("cn", {}, "no client certificate; connect over TLS with a certificate"),
        ("dns", {"subject": ()}, "client certificate: 0 names in the field dns"),
        (
            "dns",
            {"subjectAltName": (("DNS", "a"), ("DNS", "b"))},
            "client certificate: 2 names in the field dns; use a certificate with exactly one",
        ),
        (
            "cn",
            {"subject": ((("commonName", "a\0b"),),)},
            "client certificate rejected: the user name 'a\\x00b' has the control",
        ),
    ],
)
async def test_certificate_refused(kind: Any, certificate: dict[str, Any] | None, why: str) -> None:
    """Without a certificate, or one name in it, nobody is known."""
    with pytest.raises(StatusError) as info:
        await CertificateAuthenticator(user=kind).authenticate(call(certificate))
    assert info.value.status is Status.UNAUTHENTICATED
    assert str(info.value.message).startswith(why)


def test_certificate_wrong_kind() -> None:
    """There are four kinds of names."""
    with pytest.raises(UsageError, match="user='ou': unknown field; use cn, dns, email, uri"):
        CertificateAuthenticator(user="ou")  # type: ignore[arg-type]
