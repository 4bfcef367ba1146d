"""Whose an address's domain is, against a plain model."""

from __future__ import annotations

from uuid import UUID, uuid5

from apportion_identity.domain.coverage import CoveringClaim, covering_org
from hypothesis import given
from hypothesis import strategies as st

NAMES = UUID(int=7)
DOMAINS = ["c.example", "b.c.example", "a.b.c.example", "x.example", "bb.c.example", "example"]


def org(name: str) -> UUID:
    return uuid5(NAMES, name)


def model(domain: str, claims: list[CoveringClaim]) -> UUID | None:
    """The name itself, then delegations of it, then wildcards; of names above, the nearest."""
    own = [claim for claim in claims if claim.domain == domain]
    above = sorted((claim for claim in claims if domain.endswith("." + claim.domain)), key=lambda c: -len(c.domain))
    chosen = [claim.org_id for claim in own]
    chosen += [claim.delegate for claim in above if claim.delegate is not None]
    chosen += [claim.org_id for claim in above if claim.wildcard and claim.delegate is None]
    return chosen[0] if chosen else None


CLAIMS = st.lists(
    st.builds(
        lambda domain, wildcard, delegated: CoveringClaim(
            domain, org(domain), wildcard, org(f"delegate of {domain}") if delegated else None
        ),
        st.sampled_from(DOMAINS),
        st.booleans(),
        st.booleans(),
    ),
    unique_by=lambda claim: claim.domain,
)


@given(st.sampled_from(DOMAINS), CLAIMS)
def test_the_nearest_right_counts(domain: str, claims: list[CoveringClaim]) -> None:
    assert covering_org(domain, claims) == model(domain, claims) == covering_org(domain, claims[::-1])
