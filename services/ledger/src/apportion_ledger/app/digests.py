"""Digests of the lines' content, and what differs from another ledger (spec 02 rule 8)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from enum import StrEnum
from hashlib import sha256
from typing import NamedTuple
from uuid import UUID

from apportion_common.db.unit_of_work import Database

from apportion_ledger import errors
from apportion_ledger.domain.digest import coarse_digest
from apportion_ledger.domain.lines import DigestScope, GrossSum, StoredLine
from apportion_ledger.limits import COARSE_KEYS_MAX, DIFFERENCES_MAX, DIGEST_LINES_MAX
from apportion_ledger.store.digests import DigestStore
from apportion_ledger.store.posted_lines import PostedLineStore


class LedgerDigest(NamedTuple):
    """The digest of a scope's lines, and the coarse one with its sums."""

    digest: bytes
    line_count: int
    coarse_digest: bytes
    gross: list[GrossSum]


class DifferenceKind(StrEnum):
    """On which side a differing line is."""

    MISSING = "missing"
    EXTRA = "extra"
    DIFFERENT = "different"


class Difference(NamedTuple):
    """A charge whose lines differ, with this ledger's line unless it is missing."""

    charge_id: bytes
    kind: DifferenceKind
    line: StoredLine | None


class Digests:
    """Computes digests from one snapshot."""

    def __init__(self, database: Database, digests: DigestStore, lines: PostedLineStore) -> None:
        self._database = database
        self._digests = digests
        self._lines = lines

    async def digest(self, scope: DigestScope) -> LedgerDigest:
        """Return both digests; that of the lines is SHA-256 over their hashes by charge id.

        It streams, so that its memory does not grow with the lines. Raises ResourceExhausted TOO_MANY_LINES.
        """
        root, count = sha256(), 0
        async with self._database.read(snapshot=True) as connection:
            async for page in self._digests.hashes(connection, scope):
                root.update(b"".join(content_hash for _, content_hash in page))
                count += len(page)
            gross = await self._digests.gross(connection, scope, COARSE_KEYS_MAX + 1)
        if len(gross) > COARSE_KEYS_MAX:
            raise errors.too_many_lines(COARSE_KEYS_MAX)
        coarse = coarse_digest((row.org_id.bytes, row.sku, row.period, row.currency, row.gross) for row in gross)
        return LedgerDigest(root.digest(), count, coarse, gross)

    async def pages(self, scope: DigestScope) -> AsyncIterator[list[tuple[bytes, bytes]]]:
        """Yield charge id and content hash of each line by charge id, in pages.

        All is read before the first page is yielded, so that a slow receiver holds no snapshot open. Raises
        ResourceExhausted TOO_MANY_LINES.
        """
        pages, count = [], 0
        async with self._database.read(snapshot=True) as connection:
            async for page in self._digests.hashes(connection, scope):
                pages.append(page)
                count += len(page)
                if count > DIGEST_LINES_MAX:
                    raise errors.too_many_lines(DIGEST_LINES_MAX)
        for page in pages:
            yield page

    async def diff(
        self, scope: DigestScope, theirs: AsyncIterator[list[tuple[bytes, bytes]]]
    ) -> tuple[int, list[Difference]]:
        """Return how many lines differ from another ledger's digests (in any order), and the first of them.

        At most DIFFERENCES_MAX are listed. Raises ResourceExhausted TOO_MANY_LINES.
        """
        others: dict[bytes, bytes] = {}
        async for page in theirs:
            others.update(page)
            if len(others) > DIGEST_LINES_MAX:
                raise errors.too_many_lines(DIGEST_LINES_MAX)
        found: list[tuple[bytes, DifferenceKind]] = []
        async with self._database.read(snapshot=True) as connection:
            async for page in self._digests.hashes(connection, scope):
                for charge_id, content_hash in page:
                    other = others.pop(charge_id, None)
                    if other is None:
                        found.append((charge_id, DifferenceKind.EXTRA))
                    elif other != content_hash:
                        found.append((charge_id, DifferenceKind.DIFFERENT))
            found.extend((charge_id, DifferenceKind.MISSING) for charge_id in others)
            named = sorted(found)[:DIFFERENCES_MAX]
            ours = [charge_id for charge_id, kind in named if kind is not DifferenceKind.MISSING]
            lines = {line.charge_id: line for line in await self._lines.by_charge(connection, ours)}
        return len(found), [Difference(charge_id, kind, lines.get(UUID(bytes=charge_id))) for charge_id, kind in named]
