"""Which account an organisation is billed on at an instant: what pricing asks before every batch."""

from __future__ import annotations

from collections.abc import Sequence

from apportion_common.db.head import current_revision
from apportion_common.db.unit_of_work import Database

from apportion_orgs import errors
from apportion_orgs.app.ports import MappingStore, ResolvedAccount


class ResolveAccounts:
    """Answers from one snapshot, so that every answer is from the revision that is named."""

    def __init__(self, database: Database, mappings: MappingStore) -> None:
        """Read from this database."""
        self._database = database
        self._mappings = mappings

    async def resolve(
        self, needs: Sequence[tuple[str, int]], as_of_revision: int
    ) -> tuple[int, Sequence[ResolvedAccount]]:
        """The revision of the answers, and the answers in the order asked; without items the revision alone.

        `needs` are ids, in text that has been checked, and instants in microseconds.
        `as_of_revision` 0 means the newest. Raises OutOfRange REVISION_UNKNOWN for one that is not written yet.
        """
        async with self._database.read(snapshot=True) as connection:
            newest = await current_revision(connection, share=False)
            if as_of_revision > newest:
                raise errors.revision_unknown(newest)
            revision = as_of_revision or newest
            if not needs:
                return revision, ()
            return revision, await self._mappings.resolve(connection, needs, revision)
