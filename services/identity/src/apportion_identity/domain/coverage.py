"""Which organisation an address's domain belongs to, by the verified claims of it and of the names above it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class CoveringClaim:
    """A verified claim of a name or of one above it; `delegate` is whom it gave that very name to."""

    domain: str
    org_id: UUID
    wildcard: bool
    delegate: UUID | None


def covering_org(domain: str, claims: Iterable[CoveringClaim]) -> UUID | None:
    """Return the organisation that people with addresses at `domain` may ask to join.

    The claim of the very name comes first, then who got it by delegation, then the nearest wildcard above (spec 01,
    wildcard and delegation).
    """
    best: tuple[int, int] | None = None
    found: UUID | None = None
    for claim in claims:
        if claim.domain == domain:
            merit, org_id = 2, claim.org_id
        elif not domain.endswith(f".{claim.domain}"):
            continue
        elif claim.delegate is not None:
            merit, org_id = 1, claim.delegate
        elif claim.wildcard:
            merit, org_id = 0, claim.org_id
        else:
            continue
        if best is None or (merit, len(claim.domain)) > best:
            best, found = (merit, len(claim.domain)), org_id
    return found
