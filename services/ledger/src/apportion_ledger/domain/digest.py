"""Digests of ledger lines: of one line's content, and a coarse one of sums (spec 02 rule 8).

They cover business content only, not row ids, revisions or write times, so that a replay of the stored events in
accepted order has the same digest whatever the batches, the concurrency or the row order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from hashlib import sha256
from typing import NamedTuple


class ContentFrame(NamedTuple):
    """What the contents of charges and lines have in common, in canonical bytes, made once for all of them.

    `line_content` and `charge_content` say what the whole is.
    """

    charge_head: bytes
    charge_middle: bytes
    line_head: bytes
    line_middle: bytes
    line_currency: bytes
    line_account: bytes


def content_frame(
    kind: str,
    org_id: bytes,
    project_id: bytes,
    sku: str,
    currency: str,
    account_id: bytes,
    request_id: str = "",
    billed_period: str = "",
) -> ContentFrame:
    """Return the frame of these values; ids are 16 bytes, or empty for none (project, account)."""
    raw, request = sku.encode(), request_id.encode()
    # Only where there is one, so that what was written before late usage could be billed has the content that it had.
    billed = b"billed:%b|" % billed_period.encode() if billed_period else b""
    return ContentFrame(
        b"C1|%b|%b" % (kind.encode(), org_id),
        b"%b%b|%b|%d|%b|%b" % (account_id, project_id, raw, len(raw), currency.encode(), billed),
        b"L1|%d:%b|%b|%d:%b|" % (len(kind), kind.encode(), org_id, len(project_id), project_id),
        b"|%d:%b|%d:%b|" % (len(request), request, len(sku), raw),
        b"|%b|" % currency.encode(),
        b"|%d:%b|%b" % (len(account_id), account_id, billed),
    )


def partner_content(partner_id: bytes, pct: int) -> bytes:
    """Return what a line's content says of its partner (empty for none) and rate (4 places)."""
    return b"%d:%b|%d|" % (len(partner_id), partner_id, pct)


def line_content(
    frame: ContentFrame,
    cause_id: bytes,
    quantity: int,
    gross: int,
    partner: bytes,
    partner_amount: int,
    net: int,
    event_time_us: int,
) -> bytes:
    """Return the canonical content of a line: the same bytes for the same business content, other bytes for any other.

    It is `L1|kind|org|project|cause|request id|SKU|quantity|currency|gross|account|partner|rate|share|net|time`, where
    each text and each id that may be missing has its length before it. The cause is the line's event where there is
    one; `partner` is `partner_content`. A late line has `billed:<period>|` before its partner. Numbers are scaled ints
    (9 places), the time is in microseconds since 1970.
    """
    _, _, line_head, line_middle, line_currency, line_account = frame
    return b"%b%b%b%d%b%d%b%b%d|%d|%d" % (
        line_head, cause_id, line_middle, quantity, line_currency, gross, line_account, partner, partner_amount, net,
        event_time_us,
    )  # fmt: skip


def charge_content(frame: ContentFrame, cause_id: bytes, quantity: int, gross: int, event_time_us: int) -> bytes:
    """Return the canonical content of a charge, before its split.

    It tells the same charge from another one under its id: `C1|kind|org cause account project|SKU|length of the
    SKU|currency|quantity|gross|time`, a late one with `billed:<period>|` before its quantity. Takes the same values as
    `line_content`. Ids have 16 bytes (the project none or 16), so only texts carry a length.
    """
    charge_head, charge_middle = frame[:2]
    return b"%b%b%b%d|%d|%d" % (charge_head, cause_id, charge_middle, quantity, gross, event_time_us)


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
