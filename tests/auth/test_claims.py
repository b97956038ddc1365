"""Claims: which tokens are accepted, until when, and what they give."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatify_stream import UsageError
from chatify_stream.auth import Identity
from chatify_stream.auth.claims import ExpiredTokenError, Policy
from chatify_stream.auth.jws import InvalidTokenError

from .tokens import CLAIMS, NOW

POLICY = Policy(audience="chat", issuer="https://id.example", leeway=10)
WHOLE = CLAIMS | {"aud": "chat", "iss": "https://id.example"}


def identity(policy: Policy = POLICY, now: float = NOW, **claims: Any) -> Identity:
    given = WHOLE | claims
    return policy.identity({k: v for k, v in given.items() if v is not ...}, now)


def test_accepted() -> None:
    """Who has what is needed is let in, until the token expires and the leeway is over."""
    found = identity()
    assert (found.user, found.expires_at, found.how) == ("ada", NOW + 70, "jwt")
    assert found.grants.allows("send", "any room")
    assert not found.is_admin


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"exp": ...}, "no exp; issue tokens with an expiry time"),
        ({"exp": None}, "no exp; issue tokens with an expiry time"),
        ({"exp": "1"}, "exp is not a number of seconds since 1970"),
        ({"exp": True}, "exp is not a number of seconds since 1970"),
        ({"exp": [1]}, "exp is not a number of seconds since 1970"),
        ({"exp": float("inf")}, "exp is not a number of seconds since 1970"),
        ({"exp": 10**400}, "exp is not a number of seconds since 1970"),
        ({"exp": NOW - 10}, "expired; request a new token"),
        ({"nbf": NOW + 11}, "not valid yet according to nbf"),
        ({"iat": NOW + 11}, "not valid yet according to iat"),
        ({"nbf": "x"}, "nbf is not a number of seconds since 1970"),
        ({"aud": ...}, "issued for another server; aud must contain 'chat'"),
        ({"aud": "other"}, "issued for another server; aud must contain 'chat'"),
        ({"aud": ["a", 5]}, "issued for another server; aud must contain 'chat'"),
        ({"aud": {"chat": 1}}, "issued for another server; aud must contain 'chat'"),
        ({"iss": ...}, "iss is not 'https://id.example'"),
        ({"iss": ["https://id.example"]}, "iss is not 'https://id.example'"),
        ({"sub": ...}, "invalid claims: the user name is empty"),
        ({"sub": 7}, "invalid claims: user: expected a string, not 7"),
        ({"sub": "a" * 129}, "invalid claims: the user name has 129 characters"),
        ({"sub": "a\nb"}, "invalid claims: the user name 'a\\nb' has the control"),
        ({"rooms": []}, "invalid claims: rooms: expected an object such as"),
        ({"rooms": {"a": "join"}}, "invalid claims: rights of 'a': expected a list"),
        ({"rooms": {"a": ["own"]}}, "invalid claims: unknown right 'own'"),
        ({"rooms": {"a": [{}]}}, "invalid claims: rights of 'a': expected strings"),
    ],
)
def test_refused(claims: dict[str, Any], why: str) -> None:
    """What is missing or wrong is said, and a token that was good once is told apart."""
    with pytest.raises(InvalidTokenError) as info:
        identity(**claims)
    assert str(info.value).startswith(why)
    assert isinstance(info.value, ExpiredTokenError) is ("expired" in why)


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": NOW - 9},
        {"exp": NOW - 9.5},
        {"nbf": NOW + 10, "iat": NOW + 10},
        {"aud": ["other", "chat"]},
        {"more": {"of": "this"}},
    ],
)
def test_leeway_and_lists(claims: dict[str, Any]) -> None:
    """Clocks may differ a little, and a token may be for several servers."""
    assert identity(**claims).user == "ada"


def test_an_audience_that_nobody_asked_for() -> None:
    """A server that has no name is not who a token is for (RFC 7519, 4.1.3)."""
    assert identity(Policy(), aud=...).user == "ada"
    with pytest.raises(InvalidTokenError, match="issued for an audience, but this server"):
        identity(Policy())


def test_rooms() -> None:
    """The claim rooms gives rights, and nothing else does where it is there."""
    found = identity(rooms={"lobby": ["join"]})
    assert found.grants.allows("join", "lobby")
    assert not found.grants.allows("read", "lobby")
    assert not identity(rooms={}).grants.allows("join", "lobby")
    assert identity(rooms={"*": ["admin"]}).is_admin


def test_default_rights() -> None:
    """Who has no claim rooms has the default rights, in all rooms."""
    found = identity(Policy(default_rights=["join", "read"]), aud=...)
    assert found.grants.allows("read", "x")
    assert not found.grants.allows("send", "x")


def test_admins() -> None:
    """Users of some names are administrators, whatever their tokens say."""
    policy = Policy(admins=["root", "ops-*"])
    for user, is_admin in {"root": True, "ops-1": True, "ada": False, "rooty": False}.items():
        assert identity(policy, aud=..., sub=user, rooms={}).is_admin is is_admin


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"leeway": -1}, "leeway: -1 is outside 0 to 300 s"),
        ({"leeway": 301}, "leeway: 301 is outside 0 to 300 s"),
        ({"default_rights": ["all"]}, "unknown right 'all'; use join, send, read, admin"),
    ],
)
def test_wrong_policy(options: dict[str, Any], text: str) -> None:
    """A policy that makes no sense is refused when it is made."""
    with pytest.raises(UsageError) as info:
        Policy(**options)
    assert str(info.value) == text


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(), x, max_size=3),
)
names = st.sampled_from(["sub", "exp", "nbf", "iat", "aud", "iss", "rooms"])


@given(st.dictionaries(names, json_values), st.sampled_from([POLICY, Policy()]))
def test_any_claims(claims: dict[str, Any], policy: Policy) -> None:
    """Any claims give an identity, or are refused in one way, in few words."""
    try:
        said = policy.identity(WHOLE | claims, NOW).user
    except InvalidTokenError as error:
        said = str(error)
    assert len(said) < 300
