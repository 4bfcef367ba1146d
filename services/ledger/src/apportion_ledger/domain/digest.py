"""Digests of ledger lines: of one line's content, and a coarse one of sums (spec 02 rule 8).

They cover business content only, not row ids, revisions or write times, so that a replay of the stored events in
accepted order has the same digest whatever the batches, the concurrency or the row order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from hashlib import sha256


def line_content(
    kind: str,
    org_id: bytes,
    project_id: bytes,
    event_id: bytes,
    request_id: str,
    sku: str,
    quantity: int,
    currency: str,
    gross: int,
    account_id: bytes,
    partner_id: bytes,
    pct: int,
    partner_amount: int,
    net: int,
    event_time_us: int,
) -> bytes:
    """Return the canonical content of a line: the same bytes for the same business content, other bytes for any other.

    Ids are 16 bytes or empty for none (project, account, partner), `request_id` is empty where there is none. Numbers
    are scaled ints (9 places; `pct` 4), the time is in microseconds since 1970. Each text has its length before it.
    """
    request = request_id.encode()
    return b"L1|%d:%b|%b|%d:%b|%b|%d:%b|%d:%b|%d|%b|%d|%d:%b|%d:%b|%d|%d|%d|%d" % (
        len(kind), kind.encode(), org_id, len(project_id), project_id, event_id, len(request), request, len(sku),
        sku.encode(), quantity, currency.encode(), gross, len(account_id), account_id, len(partner_id), partner_id,
        pct, partner_amount, net, event_time_us,
    )  # fmt: skip


def charge_content(
    kind: str,
    org_id: bytes,
    project_id: bytes,
    event_id: bytes,
    sku: str,
    quantity: int,
    currency: str,
    gross: int,
    account_id: bytes,
    event_time_us: int,
) -> bytes:
    """Return the canonical content of a charge, before its split.

    It tells the same charge from another one under its id. Takes the same values as `line_content`. Ids have 16 bytes
    (the project none or 16), so only texts carry a length.
    """
    raw = sku.encode()
    return b"C1|%b|%b%b%b%b|%b|%d|%b|%d|%d|%d" % (
        kind.encode(), org_id, event_id, account_id, project_id, raw, len(raw), currency.encode(), quantity, gross,
        event_time_us,
    )  # fmt: skip


def line_hash(content: bytes) -> bytes:
    """Return the SHA-256 of a line's canonical content (32 bytes)."""
    return sha256(content).digest()


def coarse_digest(lines: Iterable[tuple[bytes, str, str, str, int]]) -> bytes:
    """Return the digest of the gross per (org, SKU, period, currency): the same for the same events in any order.

    Takes (org id, SKU, period key, currency, gross) per line; sums that are zero count as absent.
    """
    sums: defaultdict[tuple[bytes, str, str, str], int] = defaultdict(int)
    for org_id, sku, period, currency, gross in lines:
        sums[org_id, sku, period, currency] += gross
    digest = sha256()
    for (org_id, sku, period, currency), gross in sorted(sums.items()):
        if gross:
            digest.update(b"%b|%b|%b|%b|%d\n" % (org_id, sku.encode(), period.encode(), currency.encode(), gross))
    return digest.digest()
