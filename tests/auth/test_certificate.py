"""Client certificates: the user is what the certificate says."""

import ssl
from typing import Any

import pytest

from chatify_stream import Status, StatusError, UsageError
from chatify_stream.auth import CertificateAuthenticator, Credentials

CERTIFICATE = {
    "subject": ((("organizationName", "Chat"),), (("commonName", "Ada"),)),
    "subjectAltName": (("DNS", "ada.example"), ("email", "ada@example"), ("URI", "spiffe://x/ada")),
    "notAfter": "Jan  5 09:34:43 2030 GMT",
}


def call(certificate: dict[str, Any] | None) -> Credentials:
    return Credentials("/a/b", {}, "127.0.0.1", certificate)


@pytest.mark.parametrize(
    ("kind", "user"),
    [("cn", "Ada"), ("dns", "ada.example"), ("email", "ada@example"), ("uri", "spiffe://x/ada")],
)
async def test_user(kind: Any, user: str) -> None:
    """The user is the name that was asked for, until the certificate expires."""
    found = await CertificateAuthenticator(user=kind).authenticate(call(CERTIFICATE))
    assert (found.user, found.how) == (user, "certificate")
    assert found.expires_at == ssl.cert_time_to_seconds("Jan  5 09:34:43 2030 GMT")
    assert found.grants.allows("send", "lobby")
    assert not found.is_admin


async def test_rights() -> None:
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
async def test_refused(kind: Any, certificate: dict[str, Any] | None, why: str) -> None:
    """Without a certificate, or one name in it, nobody is known."""
    with pytest.raises(StatusError) as info:
        await CertificateAuthenticator(user=kind).authenticate(call(certificate))
    assert info.value.status is Status.UNAUTHENTICATED
    assert str(info.value.message).startswith(why)


def test_wrong_kind() -> None:
    """There are four kinds of names."""
    with pytest.raises(UsageError, match="user='ou': unknown field; use cn, dns, email, uri"):
        CertificateAuthenticator(user="ou")  # type: ignore[arg-type]
