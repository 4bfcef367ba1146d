"""Who is credited for whose spend, and when (spec 02 rule 2)."""

from __future__ import annotations

from typing import NamedTuple, TypeVar
from uuid import UUID

from apportion_common.db.head import current_revision, next_revision
from apportion_common.db.idempotency import Mutation, run_mutation
from apportion_common.db.unit_of_work import Database, Transaction
from apportion_common.ids import uuid7
from google.protobuf.message import Message

from apportion_ledger import errors
from apportion_ledger.domain.attribution import PorRow, PorSubject
from apportion_ledger.domain.partners import PartnerOfRecord
from apportion_ledger.store.terms import TermsStore

Answer = TypeVar("Answer", bound=Message)


class ResolvedPartner(NamedTuple):
    """Who is credited at an instant; both empty for nobody."""

    por: PartnerOfRecord | None
    tier: str
    revision: int


class PartnersOfRecord:
    """Assigns, ends and resolves partners of record."""

    def __init__(self, database: Database, terms: TermsStore) -> None:
        self._database = database
        self._terms = terms

    async def assign(
        self,
        mutation: Mutation[tuple[PartnerOfRecord, int], Answer],
        subject_kind: PorSubject,
        subject_id: UUID,
        partner_id: UUID,
        start_at_us: int,
        end_at_us: int | None,
    ) -> Answer:
        """Credit a partner with a subject's spend from `start_at_us` to before `end_at_us`.

        The result is the assignment and the revision. The configuration's lock lets assignments pass one by one, and
        the table's exclusion constraint rejects an overlap whoever writes. Raises InvalidArgument INTERVAL_EMPTY,
        NotFound PARTNER_NOT_FOUND, FailedPrecondition PARTNER_OF_RECORD_OVERLAP.
        """

        async def work(tx: Transaction) -> tuple[PartnerOfRecord, int]:
            if end_at_us is not None and end_at_us <= start_at_us:
                raise errors.interval_empty()
            revision = await next_revision(tx)
            if await self._terms.partner(tx.connection, partner_id) is None:
                raise errors.partner_not_found(partner_id)
            por_id = uuid7(tx.clock.now_us() * 1_000)
            por = PartnerOfRecord(por_id, subject_kind, subject_id, partner_id, start_at_us, end_at_us)
            if not await self._terms.add_por(tx, por, revision):
                raise errors.por_overlap()
            await tx.audit(
                "partner_of_record.assign",
                f"partner_of_record/{por_id}",
                org_id=subject_id if subject_kind is PorSubject.ORG else None,
                after=_audited(por),
            )
            return por, revision

        return await run_mutation(self._database, mutation, work)

    async def end(self, mutation: Mutation[int, Answer], por_id: UUID, end_at_us: int) -> Answer:
        """End an open assignment; the result is the revision.

        Raises NotFound PARTNER_OF_RECORD_NOT_FOUND, FailedPrecondition PARTNER_OF_RECORD_ENDED, InvalidArgument
        INTERVAL_EMPTY.
        """

        async def work(tx: Transaction) -> int:
            revision = await next_revision(tx)
            por = await self._terms.por(tx.connection, por_id)
            if por is None:
                raise errors.por_not_found(por_id)
            if por.end_at_us is not None:
                raise errors.por_ended()
            if end_at_us <= por.start_at_us:
                raise errors.interval_empty()
            await self._terms.end_por(tx, por_id, end_at_us, revision)
            await tx.audit(
                "partner_of_record.end",
                f"partner_of_record/{por_id}",
                org_id=por.subject_id if por.subject_kind is PorSubject.ORG else None,
                before=_audited(por),
                after={**_audited(por), "end_at_us": end_at_us},
            )
            return revision

        return await run_mutation(self._database, mutation, work)

    async def resolve(self, org_id: UUID | None, billing_account_id: UUID | None, at_us: int) -> ResolvedPartner:
        """Return who is credited at an instant: the account's partner of record before the organisation's own.

        Raises InvalidArgument SUBJECT_MISSING when neither is named.
        """
        if org_id is None and billing_account_id is None:
            raise errors.subject_missing()
        async with self._database.read(snapshot=True) as connection:
            revision = await current_revision(connection)
            index = (await self._terms.load(connection, revision)).attribution
        row: PorRow | None = None
        if billing_account_id is not None:
            row = index.partner_of(PorSubject.ACCOUNT, billing_account_id.bytes, at_us)
        if row is None and org_id is not None:
            row = index.partner_of(PorSubject.ORG, org_id.bytes, at_us)
        if row is None:
            return ResolvedPartner(None, "", revision)
        return ResolvedPartner(_assignment(row), index.tier_of(row.partner_id, at_us) or "", revision)


def _assignment(row: PorRow) -> PartnerOfRecord:
    return PartnerOfRecord(
        UUID(bytes=row.por_id),
        row.subject_kind,
        UUID(bytes=row.subject_id),
        UUID(bytes=row.partner_id),
        row.start_at_us,
        row.end_at_us,
    )


def _audited(por: PartnerOfRecord) -> dict[str, object]:
    return {
        "subject_type": por.subject_kind.value,
        "subject_id": str(por.subject_id),
        "partner_id": str(por.partner_id),
        "start_at_us": por.start_at_us,
        "end_at_us": por.end_at_us,
    }
