"""RPCs of partners, tiers, rates and partners of record."""

from __future__ import annotations

from typing import Any

import grpc
from apportion.ledger.v1 import ledger_service_pb2 as pb
from apportion.ledger.v1.ledger_service_pb2_grpc import LedgerServiceServicer
from apportion_common.db.idempotency import mutation
from apportion_common.decimals import PERCENT_PLACES
from apportion_common.errors import OutOfRange
from apportion_common.fields import id_of, optional_id, optional_us
from apportion_common.protos import timestamp_to_us, to_scaled

from apportion_ledger import errors
from apportion_ledger.app.partners import PartnerCreated, Partners, TierSet
from apportion_ledger.app.partners_of_record import PartnersOfRecord
from apportion_ledger.app.rates import Rates, RateSet
from apportion_ledger.domain.partners import PartnerOfRecord
from apportion_ledger.rpc.messages import (
    MATCH_KINDS,
    SUBJECT_KINDS,
    partner_of_record_to_message,
    partner_to_message,
)

Context = grpc.aio.ServicerContext[Any, Any]


class TermsRpcs(LedgerServiceServicer):
    """What lines are decided under."""

    _partners: Partners
    _rates: Rates
    _partners_of_record: PartnersOfRecord

    async def CreatePartner(self, request: pb.CreatePartnerRequest, context: Context) -> pb.CreatePartnerResponse:
        """Add a partner with its first tier. ALREADY_EXISTS PARTNER_EXISTS."""
        return await self._partners.create(
            mutation(request, _created),
            optional_id(request.partner_id, "partner_id"),
            request.name,
            request.payout_currency,
            request.tier,
            timestamp_to_us(request.effective_at, "effective_at"),
        )

    async def SetPartnerTier(self, request: pb.SetPartnerTierRequest, context: Context) -> pb.SetPartnerTierResponse:
        """Set the tier of a partner from an instant on. NOT_FOUND PARTNER_NOT_FOUND."""
        return await self._partners.set_tier(
            mutation(request, _tier_set),
            id_of(request.partner_id, "partner_id"),
            request.tier,
            timestamp_to_us(request.effective_at, "effective_at"),
        )

    async def SetCommissionRate(
        self, request: pb.SetCommissionRateRequest, context: Context
    ) -> pb.SetCommissionRateResponse:
        """Set a rate of a tier from an instant on. INVALID_ARGUMENT PCT_OUT_OF_RANGE, MATCH_VALUE_WRONG."""
        try:
            pct = to_scaled(request.pct, PERCENT_PLACES, "pct")
        except OutOfRange:
            raise errors.pct_out_of_range() from None
        return await self._rates.set(
            mutation(request, _rate_set),
            request.tier,
            MATCH_KINDS[request.match_kind],
            request.match_value,
            pct,
            timestamp_to_us(request.effective_at, "effective_at"),
        )

    async def AssignPartnerOfRecord(
        self, request: pb.AssignPartnerOfRecordRequest, context: Context
    ) -> pb.AssignPartnerOfRecordResponse:
        """Credit a partner with a subject's spend. FAILED_PRECONDITION PARTNER_OF_RECORD_OVERLAP."""
        return await self._partners_of_record.assign(
            mutation(request, _assigned),
            SUBJECT_KINDS[request.subject_type],
            id_of(request.subject_id, "subject_id"),
            id_of(request.partner_id, "partner_id"),
            timestamp_to_us(request.start_at, "start_at"),
            optional_us(request, "end_at"),
        )

    async def EndPartnerOfRecord(
        self, request: pb.EndPartnerOfRecordRequest, context: Context
    ) -> pb.EndPartnerOfRecordResponse:
        """End an open assignment. FAILED_PRECONDITION PARTNER_OF_RECORD_ENDED."""
        return await self._partners_of_record.end(
            mutation(request, _ended), id_of(request.por_id, "por_id"), timestamp_to_us(request.end_at, "end_at")
        )

    async def ResolvePartnerOfRecord(
        self, request: pb.ResolvePartnerOfRecordRequest, context: Context
    ) -> pb.ResolvePartnerOfRecordResponse:
        """Return who is credited at an instant. INVALID_ARGUMENT SUBJECT_MISSING."""
        resolved = await self._partners_of_record.resolve(
            optional_id(request.org_id, "org_id"),
            optional_id(request.billing_account_id, "billing_account_id"),
            timestamp_to_us(request.at, "at"),
        )
        return pb.ResolvePartnerOfRecordResponse(
            partner_of_record=None if resolved.por is None else partner_of_record_to_message(resolved.por),
            tier=resolved.tier,
            revision=resolved.revision,
        )


def _created(created: PartnerCreated) -> pb.CreatePartnerResponse:
    return pb.CreatePartnerResponse(
        partner=partner_to_message(created.partner),
        revision=created.revision,
        tier_without_rate=created.tier_without_rate,
    )


def _tier_set(tier_set: TierSet) -> pb.SetPartnerTierResponse:
    return pb.SetPartnerTierResponse(revision=tier_set.revision, tier_without_rate=tier_set.tier_without_rate)


def _rate_set(rate_set: RateSet) -> pb.SetCommissionRateResponse:
    return pb.SetCommissionRateResponse(revision=rate_set.revision, tier_without_partner=rate_set.tier_without_partner)


def _assigned(assigned: tuple[PartnerOfRecord, int]) -> pb.AssignPartnerOfRecordResponse:
    por, revision = assigned
    return pb.AssignPartnerOfRecordResponse(partner_of_record=partner_of_record_to_message(por), revision=revision)


def _ended(revision: int) -> pb.EndPartnerOfRecordResponse:
    return pb.EndPartnerOfRecordResponse(revision=revision)
