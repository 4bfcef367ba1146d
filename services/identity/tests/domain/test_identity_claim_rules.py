"""Rules of claims: transitions, addresses, who blocks whom, and what a proof is sealed with."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import pytest
from apportion_common.errors import FailedPrecondition
from apportion_identity.domain.claim_states import ClaimStatus, check_transition
from apportion_identity.domain.claims import (
    Claim,
    Delegation,
    blocks,
    delegations_of,
    has_second_factor,
    with_delegations,
)
from apportion_identity.domain.proofs import claim_address, message_hash, proof_document, proof_hmac, token_of_address
from hypothesis import given
from hypothesis import strategies as st

MAIL = "claims.apportion.dev"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
A, B, C = (UUID(int=number) for number in (1, 2, 3))
NAMES = ("acme.com", "mail.acme.com", "deep.mail.acme.com", "notacme.com", "acme.org")
# As spec 01 writes them.
ALLOWED = (
    *("pending>verified", "pending>revoked", "pending>pending_conflict"),
    *("pending_conflict>verified", "pending_conflict>revoked", "verified>revoked"),
)


@pytest.mark.parametrize(("before", "after"), list(itertools.product(ClaimStatus, ClaimStatus)))
def test_a_status_changes_as_the_specification_lists_and_not_otherwise(before: ClaimStatus, after: ClaimStatus) -> None:
    if f"{before.value}>{after.value}" in ALLOWED:
        check_transition(before, after)
    else:
        with pytest.raises(FailedPrecondition) as rejected:
            check_transition(before, after)
        assert rejected.value.reason == "CLAIM_TRANSITION"


@given(st.binary(min_size=32, max_size=32))
def test_a_token_comes_back_from_its_address_in_any_letter_case(token: bytes) -> None:
    address = claim_address(token, MAIL)
    assert len(address.partition("@")[0]) <= 64
    assert address == address.lower()
    for spelling in (address, address.upper(), f" {address.title()} ", address + "."):
        assert token_of_address(spelling, MAIL) == token


@given(st.text(max_size=80), st.binary(max_size=40))
def test_no_other_text_is_taken_for_a_tokens_address(text: str, token: bytes) -> None:
    for address in (text, f"claim-{text}@{MAIL}"):
        found = token_of_address(address, MAIL)
        assert found is None or claim_address(found, MAIL) == address.strip().lower().removesuffix(".")
    if len(token) != 32:
        assert token_of_address(claim_address(token, MAIL), MAIL) is None


def test_a_token_has_one_spelling() -> None:
    local, _, _ = claim_address(bytes(32), MAIL).partition("@")
    # The last digit has four bits that the token has no use for.
    assert token_of_address(f"{local[:-1]}b@{MAIL}", MAIL) is None
    assert token_of_address(f"{local}@elsewhere.dev", MAIL) is None
    assert token_of_address(f"{local}=@{MAIL}", MAIL) is None


def claim(
    claim_id: UUID,
    org_id: UUID,
    domain: str,
    status: ClaimStatus,
    wildcard: bool,
    delegations: Sequence[Delegation] = (),
) -> Claim:
    proof = with_delegations({}, delegations)
    return Claim(claim_id, org_id, domain, status, "user:1", NOW, wildcard=wildcard, proof=proof)


def claims() -> st.SearchStrategy[Claim]:
    delegations = st.lists(st.builds(Delegation, st.sampled_from(NAMES), st.sampled_from([A, B, C]), st.just(NOW)))
    return st.builds(
        claim,
        st.uuids(),
        st.sampled_from([A, B, C]),
        st.sampled_from(NAMES),
        st.sampled_from(list(ClaimStatus)),
        st.booleans(),
        delegations,
    )


def covered_names(claim: Claim, by: UUID) -> set[str]:
    """Plainly: every name that a claim keeps another organisation from, of those there are."""
    given_away = {one.domain for one in claim.delegations if one.org_id == by}
    below = {name for name in NAMES if name.endswith("." + claim.domain)} if claim.wildcard else set()
    free = {name for name in below for top in given_away if name == top or name.endswith("." + top)}
    return {claim.domain} | (below - free)


@given(claims(), claims())
def test_who_blocks_whom_is_what_the_covered_names_say(one: Claim, other: Claim) -> None:
    wanted = (
        one.org_id != other.org_id
        and one.status is not ClaimStatus.REVOKED
        and (other.domain in covered_names(one, other.org_id) or one.domain in covered_names(other, one.org_id))
    )
    assert blocks(one, other) is wanted


def test_a_wildcard_covers_in_both_directions_unless_the_name_was_given_away() -> None:
    root = claim(A, A, "acme.com", ClaimStatus.VERIFIED, wildcard=True)
    below = claim(B, B, "mail.acme.com", ClaimStatus.PENDING, wildcard=False)
    assert blocks(root, below)
    assert blocks(below, root)
    generous = claim(A, A, "acme.com", ClaimStatus.VERIFIED, True, (Delegation("mail.acme.com", B, NOW),))
    assert not blocks(generous, below)
    assert blocks(generous, claim(C, C, "mail.acme.com", ClaimStatus.PENDING, wildcard=False))


@pytest.mark.parametrize(
    ("amr", "is_second"),
    [
        ((), False),
        (("pwd",), False),
        (("pwd", "pin", "kba"), False),
        (("sms",), False),
        (("pwd", "otp"), True),
        (("mfa",), True),
        (("hwk",), True),
        (("sc",), True),
        (("MFA",), False),
    ],
)
def test_a_second_factor_is_what_rfc_8176_names_as_one(amr: tuple[str, ...], is_second: bool) -> None:
    assert has_second_factor(amr) is is_second


@given(st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5)), max_size=4), st.binary(max_size=5))
def test_a_seal_changes_with_everything_that_it_is_over(facts: list[tuple[str, str]], message: bytes) -> None:
    key = bytes(32)
    seal = proof_hmac(key, A, "acme.com", message, facts)
    others = {
        proof_hmac(bytes(31) + b"1", A, "acme.com", message, facts),
        proof_hmac(key, B, "acme.com", message, facts),
        proof_hmac(key, A, "acme.org", message, facts),
        proof_hmac(key, A, "acme.com", message + b"x", facts),
        proof_hmac(key, A, "acme.com", message, [*facts, ("", "")]),
    }
    assert len(others) == 5
    assert seal not in others
    # Moving a character from one text to the next is another fact.
    assert proof_hmac(key, A, "acme.com", b"", [("ab", "c")]) != proof_hmac(key, A, "acme.com", b"", [("a", "bc")])
    assert message_hash(key, message) != bytes.fromhex(seal)


def test_a_proof_keeps_what_was_delegated_and_drops_what_can_be_guessed() -> None:
    given_away = (Delegation("mail.acme.com", B, NOW),)
    before = with_delegations({"version": 1}, given_away)
    facts = [("header subject", "00"), ("body", "11"), ("dkim", "pass acme.com"), ("dns TXT acme.com", "found 22")]
    kept = proof_document("aa", b"\x01", NOW, facts, before)
    assert kept["facts"] == [["dkim", "pass acme.com"], ["dns TXT acme.com", "found 22"]]
    assert delegations_of(kept) == given_away
    assert delegations_of(None) == delegations_of({"delegations": "x"}) == ()
