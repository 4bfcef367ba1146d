"""OIDC exchange: whose identity tokens are believed, who they become, and every way of forging one rejected."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
import pytest
from access_harness import AccessHarness
from apportion.identity.v1 import identity_service_pb2 as pb
from apportion_dev.testing.plugin import MakeServiceDatabase
from apportion_identity.adapters.issuer_keys import load_issuers, parse_issuer_keys
from apportion_identity.limits import (
    CREDENTIAL_FAILURES_PER_PEER_MAX,
    ISSUER_ANSWER_BYTES_MAX,
    ISSUER_ASK_PAUSE_S,
    ISSUER_KEYS_FRESH_S,
    ISSUER_KEYS_STALE_S_MAX,
    SIGN_INS_PER_PEER_MAX,
    TOKENS_PER_HOLDER_MAX,
)
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from identity_harness import NOON, org_id
from oidc_issuer import CLIENT_ID, LocalIssuer, local_issuer

INVALID = ("UNAUTHENTICATED", "ID_TOKEN_INVALID")
UNAVAILABLE = ("UNAVAILABLE", "ISSUER_UNAVAILABLE")
LIMITED = ("RESOURCE_EXHAUSTED", "TOKEN_RATE_LIMITED")


@pytest.fixture
def issuer() -> Iterator[LocalIssuer]:
    with local_issuer() as running:
        yield running


@pytest.fixture
async def harness(service_database: MakeServiceDatabase, issuer: LocalIssuer) -> AccessHarness:
    made = AccessHarness(service_database("identity"), issuer.config)
    await made.use_cases.signing_keys.ensure_first()
    return made


def exchange(id_token: str, org: str = "", nonce: str = "") -> pb.ExchangeTokenRequest:
    return pb.ExchangeTokenRequest(id_token=id_token, org_id=org_id(org) if org else "", nonce=nonce)


@pytest.mark.parametrize(
    ("kid", "algorithm"), [("rsa-1", "RS256"), ("rsa-1", "PS384"), ("ec-1", "ES256"), ("ed-1", "EdDSA")]
)
async def test_who_signs_in_for_the_first_time_becomes_a_user_without_an_organisation(
    harness: AccessHarness, issuer: LocalIssuer, kid: str, algorithm: str
) -> None:
    answer = await harness.operate("ExchangeToken", exchange(issuer.token(kid=kid, algorithm=algorithm)))
    claims = await harness.verify(answer.access_token)
    assert (answer.org_id, answer.role) == ("", pb.MEMBER_ROLE_UNSPECIFIED)
    assert (claims["sub"], claims["roles"], claims["amr"]) == (f"user:{answer.user_id}", [], ["pwd", "otp"])
    assert (claims["exp"] - claims["iat"], "org_id" in claims) == (600, False)
    assert harness.rows("SELECT user_id::text, email::text FROM app_user") == [(answer.user_id, "ann@acme.example")]
    again = await harness.operate("ExchangeToken", exchange(issuer.token()))
    assert again.user_id == answer.user_id
    assert harness.rows("SELECT count(*) FROM user_login") == [(1,)]


async def test_a_member_acts_in_the_organisation_asked_for_with_the_role_of_now(
    harness: AccessHarness, issuer: LocalIssuer
) -> None:
    user_id = harness.add_member("acme", "ann@acme.example", "Admin")
    harness.add_member("other", "ann@acme.example", "User")
    answer = await harness.operate("ExchangeToken", exchange(issuer.token(email="Ann@ACME.example"), "acme"))
    claims = await harness.verify(answer.access_token)
    assert (answer.user_id, answer.org_id, answer.role) == (user_id, org_id("acme"), pb.MEMBER_ROLE_ADMIN)
    assert (claims["org_id"], claims["roles"]) == (org_id("acme"), ["Admin"])

    harness.rows("UPDATE membership SET role = 'User' WHERE org_id = %s RETURNING 1", org_id("acme"))
    later = await harness.operate("ExchangeToken", exchange(issuer.token(), "acme"))
    assert later.role == pb.MEMBER_ROLE_USER


async def test_without_an_organisation_named_it_is_the_default_one_and_none_when_that_is_left(
    harness: AccessHarness, issuer: LocalIssuer
) -> None:
    harness.add_member("acme", "ann@acme.example", "Owner")
    harness.rows("UPDATE app_user SET default_org_id = %s RETURNING 1", org_id("acme"))
    first = await harness.operate("ExchangeToken", exchange(issuer.token()))
    assert (first.org_id, first.role) == (org_id("acme"), pb.MEMBER_ROLE_OWNER)
    harness.rows("DELETE FROM membership RETURNING 1")
    later = await harness.operate("ExchangeToken", exchange(issuer.token()))
    assert (later.org_id, later.role) == ("", pb.MEMBER_ROLE_UNSPECIFIED)


@pytest.mark.parametrize("status", ["none", "pending"])
async def test_who_is_no_active_member_gets_no_token_for_an_organisation_and_leaves_nothing(
    harness: AccessHarness, issuer: LocalIssuer, status: str
) -> None:
    if status == "pending":
        harness.add_member("acme", "bob@acme.example", "Owner", "pending")
    denied = exchange(issuer.token(email="bob@acme.example", sub="bob"), "acme")
    assert await harness.operate_reason("ExchangeToken", denied) == ("PERMISSION_DENIED", "NOT_A_MEMBER")
    assert harness.rows("SELECT count(*) FROM user_login") == [(0,)]


async def test_an_address_that_the_issuer_gave_to_somebody_else_does_not_take_the_memberships_along(
    harness: AccessHarness, issuer: LocalIssuer
) -> None:
    harness.add_member("acme", "ann@acme.example", "Owner")
    assert await harness.operate("ExchangeToken", exchange(issuer.token(), "acme"))
    successor = exchange(issuer.token(sub="somebody-else"), "acme")
    assert await harness.operate_reason("ExchangeToken", successor) == ("PERMISSION_DENIED", "ADDRESS_HELD")


async def test_one_person_who_signs_in_ten_times_at_once_is_one_user(
    harness: AccessHarness, issuer: LocalIssuer
) -> None:
    answers = await asyncio.gather(*(harness.operate("ExchangeToken", exchange(issuer.token())) for _ in range(10)))
    assert len({answer.user_id for answer in answers}) == 1
    assert harness.rows("SELECT (SELECT count(*) FROM app_user), (SELECT count(*) FROM user_login)") == [(1, 1)]


async def test_forged_tokens_are_rejected_each_with_its_reason(harness: AccessHarness, issuer: LocalIssuer) -> None:
    harness.add_member("acme", "ann@acme.example", "Owner")
    public = issuer.rsa.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    stranger = rsa.generate_private_key(65537, 2048)
    good = issuer.token()
    head, body, signature = good.split(".")
    now_s = int(NOON.timestamp())
    forged = {
        "another audience": (issuer.token(aud="another-client"), INVALID),
        "our audience among others": (issuer.token(aud=[CLIENT_ID, "another-client"]), INVALID),
        "another authorised party": (issuer.token(azp="another-client"), INVALID),
        "expired": (issuer.token(iat=now_s - 700, exp=now_s - 6), ("UNAUTHENTICATED", "ID_TOKEN_EXPIRED")),
        "of the future": (issuer.token(iat=now_s + 60), INVALID),
        "algorithm none": (jwt.encode(issuer.claims(), None, algorithm="none", headers={"kid": "rsa-1"}), INVALID),
        "public key as an HMAC secret": (_hmac_token(public, issuer.claims()), INVALID),
        "unknown key id": (issuer.token(kid="rsa-9", key=stranger), INVALID),
        "a stranger's key under a known id": (issuer.token(key=stranger), INVALID),
        "no key id": (jwt.encode(issuer.claims(), issuer.rsa, algorithm="RS256"), INVALID),
        "a key of another kind": (issuer.token(kid="ec-1", key=issuer.rsa), INVALID),
        "an algorithm of another kind": (issuer.token(kid="ec-1", algorithm="ES256", key=_p256()), INVALID),
        "an extension": (_with_header(issuer, crit=["b64"], b64=False), INVALID),
        "an access token": (_with_header(issuer, typ="at+jwt"), INVALID),
        "an algorithm that is none": (_with_raw_header(issuer, alg=["RS256"]), INVALID),
        "a nonce that is no text": (issuer.token(nonce="\ud800"), INVALID),
        "a key it brings along": (_with_header(issuer, key=stranger, jwk=_jwk(stranger)), INVALID),
        "another issuer": (issuer.token(iss="https://evil.test"), ("UNAUTHENTICATED", "ISSUER_UNKNOWN")),
        "an issuer with a slash": (issuer.token(iss="https://accounts.test/"), ("UNAUTHENTICATED", "ISSUER_UNKNOWN")),
        "no issuer": (issuer.token(iss=None), ("UNAUTHENTICATED", "ISSUER_UNKNOWN")),
        "an address nobody vouches for": (
            issuer.token(email_verified=False),
            ("UNAUTHENTICATED", "EMAIL_NOT_VERIFIED"),
        ),
        "an address that is none": (issuer.token(email="ann"), INVALID),
        "a nonce nobody asked for": (issuer.token(nonce="n"), INVALID),
        "no signature": (f"{head}.{body}.", INVALID),
        "a changed body": (f"{head}.{body[:-4]}AAAA.{signature}", INVALID),
        "no token": ("ann", INVALID),
        "empty parts": ("..", INVALID),
    }
    for number, (what, (token, expected)) in enumerate(forged.items()):
        seen = await harness.operate_reason(
            "ExchangeToken", exchange(token, "acme"), peer=f"ipv4:198.51.100.{number}:1"
        )
        assert seen == expected, what
    assert harness.rows("SELECT count(*) FROM user_login") == [(0,)]
    assert await harness.operate("ExchangeToken", exchange(good, "acme"))


def _hmac_token(secret: bytes, claims: dict[str, Any]) -> str:
    """A token as an attacker makes it: the library rejects to use a public key so."""

    def part(raw: bytes) -> str:
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    header = {"alg": "HS256", "typ": "JWT", "kid": "rsa-1"}
    signed = ".".join(part(json.dumps(half).encode()) for half in (header, claims))
    return f"{signed}.{part(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}"


def _with_header(issuer: LocalIssuer, key: Any = None, **header: Any) -> str:
    return jwt.encode(issuer.claims(), key or issuer.rsa, algorithm="RS256", headers={"kid": "rsa-1", **header})


def _with_raw_header(issuer: LocalIssuer, **header: Any) -> str:
    """A token with a header that the library would not write; nobody gets as far as its signature."""
    _, body, signature = issuer.token().split(".")
    raw = json.dumps({"alg": "RS256", "kid": "rsa-1", **header}).encode()
    return f"{base64.urlsafe_b64encode(raw).rstrip(b'=').decode()}.{body}.{signature}"


def _jwk(key: rsa.RSAPrivateKey) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
    return found


def _p256() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


async def test_an_issuer_is_believed_about_addresses_of_its_domains_alone(
    service_database: MakeServiceDatabase, issuer: LocalIssuer
) -> None:
    """Or the least careful issuer could speak foreverybody: a user is found by a verified address."""
    harness = AccessHarness(
        service_database("identity"),
        replace(issuer.config, email_domains=("acme.example", "xn--bcher-kva.example")),
    )
    await harness.use_cases.signing_keys.ensure_first()
    for subject, email in (("a", "ann@ACME.example"), ("b", "bea@bücher.example")):
        assert await harness.operate("ExchangeToken", exchange(issuer.token(sub=subject, email=email)))
    for email in ("ann@other.example", "ann@sub.acme.example", "ann@acme.example.org", "ann@notacme.example"):
        rejected = await harness.operate_reason("ExchangeToken", exchange(issuer.token(sub="c", email=email)))
        assert rejected == ("UNAUTHENTICATED", "EMAIL_NOT_VERIFIED")
    moved = exchange(issuer.token(sub="a", email="ann@other.example"))
    assert await harness.operate_reason("ExchangeToken", moved) == ("UNAUTHENTICATED", "EMAIL_NOT_VERIFIED")


async def test_the_nonce_of_the_sign_in_must_be_the_token_s(harness: AccessHarness, issuer: LocalIssuer) -> None:
    token = issuer.token(nonce="n-1")
    assert await harness.operate("ExchangeToken", exchange(token, nonce="n-1"))
    assert await harness.operate_reason("ExchangeToken", exchange(token, nonce="n-2")) == INVALID


async def test_neither_tokens_nor_addresses_are_written_down_beside_the_user(
    harness: AccessHarness, issuer: LocalIssuer, capsys: pytest.CaptureFixture[str]
) -> None:
    token = issuer.token(nonce="n-secret-1")
    answer = await harness.operate("ExchangeToken", exchange(token, nonce="n-secret-1"))
    stored = harness.everything_stored() + capsys.readouterr().out
    for secret in (token, answer.access_token, "n-secret-1"):
        assert secret not in stored
    trail = json.dumps([row[0] for row in harness.rows("SELECT row_to_json(a) FROM audit_entry a")])
    assert "ann@acme.example" not in trail
    assert "app_user.create" in trail


async def test_an_issuer_that_does_not_answer_is_unavailable_and_costs_no_tries(
    harness: AccessHarness, issuer: LocalIssuer
) -> None:
    issuer.status = 503
    for _ in range(CREDENTIAL_FAILURES_PER_PEER_MAX + 1):
        rejection = await harness.operate_rejected("ExchangeToken", exchange(issuer.token()))
        assert ((rejection.code, rejection.reason), rejection.retry_after_s) == (UNAVAILABLE, ISSUER_ASK_PAUSE_S)
    assert issuer.asked == 1
    issuer.status = 200
    assert await harness.operate_reason("ExchangeToken", exchange(issuer.token())) == UNAVAILABLE
    harness.clock.advance(timedelta(seconds=ISSUER_ASK_PAUSE_S))
    assert await harness.operate("ExchangeToken", exchange(issuer.token()))


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"keys": {}}', b"\xff", b" " * (ISSUER_ANSWER_BYTES_MAX + 1)])
async def test_an_issuer_that_answers_nonsense_is_unavailable(
    harness: AccessHarness, issuer: LocalIssuer, body: bytes
) -> None:
    issuer.body = body
    assert await harness.operate_reason("ExchangeToken", exchange(issuer.token())) == UNAVAILABLE


async def test_an_issuer_that_sends_us_elsewhere_is_not_followed(harness: AccessHarness, issuer: LocalIssuer) -> None:
    issuer.status, issuer.location = 302, issuer.address
    assert await harness.operate_reason("ExchangeToken", exchange(issuer.token())) == UNAVAILABLE
    assert issuer.asked == 1


async def test_guessed_key_ids_do_not_make_us_ask_an_issuer_again_and_again(
    harness: AccessHarness, issuer: LocalIssuer
) -> None:
    async def guess(number: int) -> tuple[str, str]:
        token = issuer.token(kid=f"guess-{number}", key=issuer.rsa)
        return await harness.operate_reason("ExchangeToken", exchange(token), peer=f"ipv4:198.51.100.{number}:1")

    outcomes = await asyncio.gather(*map(guess, range(40)))
    assert set(outcomes) == {INVALID}
    assert issuer.asked == 1


async def test_an_issuer_s_new_key_is_learnt_and_one_it_has_withdrawn_is_dropped(
    harness: AccessHarness, issuer: LocalIssuer
) -> None:
    assert await harness.operate("ExchangeToken", exchange(issuer.token()))
    issuer.published["rsa-2"] = rsa.generate_private_key(65537, 2048)
    harness.clock.advance(timedelta(seconds=ISSUER_ASK_PAUSE_S))
    assert await harness.operate("ExchangeToken", exchange(issuer.token(kid="rsa-2")))
    del issuer.published["rsa-1"]
    harness.clock.advance(timedelta(seconds=ISSUER_KEYS_FRESH_S))
    withdrawn = issuer.token(key=issuer.rsa, now=harness.clock.now())
    assert await harness.operate_reason("ExchangeToken", exchange(withdrawn)) == INVALID


async def test_an_issuer_s_last_keys_are_used_for_a_day_while_it_does_not_answer(
    harness: AccessHarness, issuer: LocalIssuer
) -> None:
    assert await harness.operate("ExchangeToken", exchange(issuer.token()))
    issuer.status = 500
    harness.clock.advance(timedelta(seconds=ISSUER_KEYS_STALE_S_MAX - 1))
    assert await harness.operate("ExchangeToken", exchange(issuer.token(now=harness.clock.now())))
    harness.clock.advance(timedelta(seconds=1))
    assert await harness.operate_reason("ExchangeToken", exchange(issuer.token(now=harness.clock.now()))) == UNAVAILABLE


async def test_one_address_gets_so_many_sign_ins_whatever_it_sends(harness: AccessHarness, issuer: LocalIssuer) -> None:
    for _ in range(SIGN_INS_PER_PEER_MAX):
        assert await harness.operate_reason("ExchangeToken", exchange("ann")) in (INVALID, LIMITED)
    assert await harness.operate_reason("ExchangeToken", exchange(issuer.token())) == LIMITED
    assert await harness.operate("ExchangeToken", exchange(issuer.token()), peer="ipv4:198.51.100.1:1")
    harness.clock.advance(timedelta(seconds=1))
    assert await harness.operate("ExchangeToken", exchange(issuer.token()))


async def test_forgers_are_slowed_down_by_address_and_users_by_themselves(
    harness: AccessHarness, issuer: LocalIssuer
) -> None:
    for _ in range(CREDENTIAL_FAILURES_PER_PEER_MAX):
        assert await harness.operate_reason("ExchangeToken", exchange("ann")) == INVALID
    assert await harness.operate_reason("ExchangeToken", exchange("ann")) == LIMITED
    beside = exchange(issuer.token(sub="cat", email="cat@acme.example"))
    assert await harness.operate("ExchangeToken", beside), "others sign in through the same gateway"
    for _ in range(TOKENS_PER_HOLDER_MAX):
        await harness.operate("ExchangeToken", exchange(issuer.token()), peer="ipv4:198.51.100.1:1")
    late = exchange(issuer.token())
    assert await harness.operate_reason("ExchangeToken", late, peer="ipv4:198.51.100.1:1") == LIMITED
    other = exchange(issuer.token(sub="bob", email="bob@acme.example"))
    assert await harness.operate("ExchangeToken", other, peer="ipv4:198.51.100.1:1")


def test_keys_that_nobody_should_believe_are_passed_over() -> None:
    def entry(key: Any, kind: Any, **more: Any) -> dict[str, Any]:
        return {**json.loads(kind.to_jwk(key.public_key())), "kid": str(uuid4()), **more}

    good = rsa.generate_private_key(65537, 2048)
    keys = [
        entry(good, jwt.algorithms.RSAAlgorithm, kid="good", alg="PS256"),
        entry(good, jwt.algorithms.RSAAlgorithm, use="enc"),
        entry(good, jwt.algorithms.RSAAlgorithm, kid=""),
        entry(good, jwt.algorithms.RSAAlgorithm, kid=7),
        entry(good, jwt.algorithms.RSAAlgorithm, kid="\ud800"),
        entry(good, jwt.algorithms.RSAAlgorithm, alg="HS256"),
        entry(good, jwt.algorithms.RSAAlgorithm, alg="RSA-OAEP"),
        entry(rsa.generate_private_key(65537, 1024), jwt.algorithms.RSAAlgorithm),
        entry(ec.generate_private_key(ec.SECP256K1()), jwt.algorithms.ECAlgorithm),
        {"kty": "oct", "k": "c2VjcmV0", "kid": "symmetric", "alg": "HS256"},
        {"kty": "RSA", "kid": "broken"},
        "not a key",
    ]
    found = parse_issuer_keys(json.dumps({"keys": keys}).encode())
    assert {kid: set(key.algorithms) for kid, key in found.items()} == {"good": {"PS256"}}


def test_the_issuers_file_names_each_issuer_once_and_safe_addresses_only(tmp_path: Path) -> None:
    file = tmp_path / "issuers.json"
    good = {"issuer": "https://a.test", "jwks_uri": "https://a.test/keys", "audience": "us"}
    file.write_text(json.dumps([good, good | {"issuer": "https://b.test", "jwks_uri": "http://[::1]:80/k"}]))
    assert [issuer.issuer for issuer in load_issuers(file)] == ["https://a.test", "https://b.test"]
    assert load_issuers(None) == ()
    file.write_text(json.dumps([good | {"email_domains": ["Acme.example", "bücher.example"]}]))
    assert load_issuers(file)[0].email_domains == ("acme.example", "xn--bcher-kva.example")
    for odd in (
        {},
        [1],
        [{"issuer": "https://a.test"}],
        [good | {"more": "x"}],
        [good | {"audience": ""}],
        [good | {"audience": ["us"]}],
        [good | {"email_domains": "acme.example"}],
        [good | {"email_domains": []}],
        [good | {"email_domains": ["*.acme.example"]}],
        [good | {"email_domains": [""]}],
        [good, good],
        [good | {"jwks_uri": "http://a.test/keys"}],
        [good | {"jwks_uri": "file:///etc/passwd"}],
        [good | {"jwks_uri": "https://"}],
    ):
        file.write_text(json.dumps(odd))
        with pytest.raises(ValueError, match=str(file)):
            load_issuers(file)
    file.write_text("{")
    with pytest.raises(ValueError, match="no JSON list"):
        load_issuers(file)
