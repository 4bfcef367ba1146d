"""The claims of an OIDC identity token: what must hold, each on its own (OpenID Connect Core 1.0, section 3.1.3.7)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from apportion_common.errors import Unauthenticated
from apportion_identity.domain.id_token import Expected, SignedIn, check_header, check_id_token
from hypothesis import example, given
from hypothesis import strategies as st

NOW_S = 1_760_000_000
ISSUER, AUDIENCE = "https://accounts.test", "our-client"
HEADER = {"alg": "ES256", "kid": "key-1", "typ": "JWT"}

# Whatever JSON can say, halves of surrogate pairs included.
TEXTS = st.text("aé@.\n\0\ud800\udfff", max_size=4)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner), max_leaves=5)


def claims(**changes: Any) -> dict[str, Any]:
    good = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "ann",
        "iat": NOW_S - 10,
        "exp": NOW_S + 60,
        "email": "Ann@Acme.Example",
        "email_verified": True,
        "amr": ["pwd", "otp"],
    }
    return {name: value for name, value in (good | changes).items() if value is not None}


def check(found: dict[str, Any], nonce: str = "", now_s: int = NOW_S) -> SignedIn:
    return check_id_token(found, Expected(ISSUER, AUDIENCE, nonce, now_s, leeway_s=5, age_s_max=3_600))


def reason(found: dict[str, Any], nonce: str = "", now_s: int = NOW_S) -> str:
    with pytest.raises(Unauthenticated) as rejection:
        check(found, nonce, now_s)
    return rejection.value.reason


def outcome(look: Callable[[dict[str, Any]], object], found: dict[str, Any]) -> str:
    """What comes of looking at something: it is good, or the reason that it is rejected with; else an error."""
    try:
        look(found)
    except Unauthenticated as rejection:
        return rejection.reason
    return "good"


def test_a_good_token_says_who_signed_in_and_how() -> None:
    assert check(claims()) == SignedIn(ISSUER, "ann", "Ann@Acme.Example", ("pwd", "otp"))
    assert check(claims(amr=None)).amr == ()
    assert check(claims(aud=[AUDIENCE], azp=AUDIENCE)).subject == "ann"
    assert check(claims(iat=NOW_S - 10.5, nbf=NOW_S)).subject == "ann"


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": None},
        {"iss": "https://other.test"},
        {"iss": f"{ISSUER}/"},
        {"iss": [ISSUER]},
        {"aud": None},
        {"aud": "another-client"},
        {"aud": []},
        {"aud": [AUDIENCE, "another-client"], "azp": AUDIENCE},
        {"aud": {AUDIENCE: True}},
        {"azp": "another-client"},
        {"azp": ""},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"sub": "a" * 256},
        {"sub": "ä"},
        {"sub": "a\nb"},
        {"iat": None},
        {"iat": "now"},
        {"iat": True},
        {"iat": NOW_S + 6},
        {"iat": -1},
        {"nbf": NOW_S + 6},
        {"exp": None},
        {"exp": float("inf")},
        {"exp": float("nan")},
        {"exp": 1 << 60},
        {"nonce": 7},
        {"amr": "otp"},
        {"amr": [7]},
        {"amr": ["a" * 51]},
        {"amr": ["otp"] * 17},
        {"amr": [""]},
    ],
)
def test_a_claim_that_is_not_as_it_must_be_makes_the_token_invalid(changes: dict[str, Any]) -> None:
    found = {name: value for name, value in claims().items() if changes.get(name, 0) is not None} | {
        name: value for name, value in changes.items() if value is not None
    }
    assert reason(found) == "ID_TOKEN_INVALID"


def test_a_token_ends_with_its_leeway_and_is_not_taken_forever_whatever_it_says() -> None:
    assert check(claims(), now_s=NOW_S + 64)
    assert reason(claims(), now_s=NOW_S + 65) == "ID_TOKEN_EXPIRED"
    endless = claims(exp=NOW_S + 10**9)
    assert check(endless, now_s=NOW_S - 10 + 3_604)
    assert reason(endless, now_s=NOW_S - 10 + 3_605) == "ID_TOKEN_EXPIRED"


@pytest.mark.parametrize(
    ("carried", "asked", "good"),
    [(None, "", True), ("n-1", "n-1", True), ("n-1", "", False), (None, "n-1", False), ("n-1", "n-2", False)],
)
def test_a_token_is_of_the_sign_in_that_was_begun_or_of_none(carried: str | None, asked: str, *, good: bool) -> None:
    found = claims(nonce=carried)
    if good:
        assert check(found, asked)
    else:
        assert reason(found, asked) == "ID_TOKEN_INVALID"


@pytest.mark.parametrize(
    "changes",
    [
        {"email_verified": None},
        {"email_verified": False},
        {"email_verified": "false"},
        {"email_verified": "true"},
        {"email_verified": 1},
        {"email": None},
        {"email": ""},
        {"email": ["ann@acme.example"]},
    ],
)
def test_an_address_that_the_issuer_does_not_vouch_for_is_nobody_s(changes: dict[str, Any]) -> None:
    assert reason(claims(**changes)) == "EMAIL_NOT_VERIFIED"


@pytest.mark.parametrize("kind", ["JWT", "jwt", None])
def test_a_good_header_says_algorithm_and_key_id(kind: str | None) -> None:
    found = {name: value for name, value in (HEADER | {"typ": kind}).items() if value is not None}
    assert check_header(found) == ("ES256", "key-1")


@pytest.mark.parametrize(
    "changes",
    [
        {"alg": "none"},
        {"alg": "HS256"},
        {"alg": "es256"},
        {"alg": ["ES256"]},
        {"alg": {}},
        {"alg": None},
        {"kid": ""},
        {"kid": "k" * 257},
        {"kid": "\ud800"},
        {"kid": "key-1\n"},
        {"kid": ["key-1"]},
        {"kid": None},
        {"typ": "at+jwt"},
        {"typ": "logout+jwt"},
        {"typ": 7},
        {"typ": None},
        {"crit": []},
        {"crit": ["exp"]},
    ],
)
def test_a_header_that_is_not_as_it_must_be_makes_the_token_invalid(changes: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated) as rejection:
        check_header(HEADER | changes)
    assert rejection.value.reason == "ID_TOKEN_INVALID"


@given(st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit"]), JSON))
def test_whatever_a_header_says_it_is_good_or_rejected(changes: dict[str, Any]) -> None:
    assert outcome(check_header, HEADER | changes) in ("good", "ID_TOKEN_INVALID")


@given(st.sampled_from([*sorted(claims()), "nbf", "nonce", "azp"]), JSON)
@example("nonce", "\ud800")
def test_whatever_a_signed_token_claims_it_is_good_or_rejected(name: str, value: object) -> None:
    rejections = ("ID_TOKEN_INVALID", "ID_TOKEN_EXPIRED", "EMAIL_NOT_VERIFIED")
    assert outcome(check, claims() | {name: value}) in ("good", *rejections)
