"""RPCs of partners, tiers, rates and partners of record."""

from __future__ import annotations

from typing import Any

import grpc
from apportion.ledger.v1 import ledger_service_pb2 as pb
from apportion.ledger.v1.ledger_service_pb2_grpc import LedgerServiceServicer
from apportion_common.db.idempotency import run_mutation
from apportion_common.db.unit_of_work import Database, Transaction
from apportion_common.decimals import PERCENT_PLACES
from apportion_common.errors import OutOfRange
from apportion_common.protos import timestamp_to_us, to_scaled

from apportion_ledger import errors
from apportion_ledger.app.partners import Partners
from apportion_ledger.app.partners_of_record import PartnersOfRecord
from apportion_ledger.app.rates import Rates
from apportion_ledger.rpc.convert import (
    MATCH_KINDS,
    SUBJECT_KINDS,
    id_of,
    optional_id,
    optional_us,
    partner_message,
    por_message,
)

Context = grpc.aio.ServicerContext[Any, Any]


class TermsRpcs(LedgerServiceServicer):
    """What lines are decided under."""

    database: Database
    partners: Partners
    rates: Rates
    partners_of_record: PartnersOfRecord

    async def CreatePartner(self, request: pb.CreatePartnerRequest, context: Context) -> pb.CreatePartnerResponse:
        """Add a partner with its first tier. ALREADY_EXISTS PARTNER_EXISTS."""
        effective_at_us = timestamp_to_us(request.effective_at, "effective_at")
        partner_id = optional_id(request.partner_id, "partner_id")

        async def create(tx: Transaction) -> pb.CreatePartnerResponse:
            partner, revision = await self.partners.create(
                tx, partner_id, request.name, request.payout_currency, request.tier, effective_at_us
            )
            return pb.CreatePartnerResponse(partner=partner_message(partner), revision=revision)

        return await run_mutation(self.database, "CreatePartner", request, pb.CreatePartnerResponse, create)

    async def SetPartnerTier(self, request: pb.SetPartnerTierRequest, context: Context) -> pb.SetPartnerTierResponse:
        """Give a partner a tier from an instant on. NOT_FOUND PARTNER_NOT_FOUND."""
        effective_at_us = timestamp_to_us(request.effective_at, "effective_at")
        partner_id = id_of(request.partner_id, "partner_id")

        async def set_tier(tx: Transaction) -> pb.SetPartnerTierResponse:
            revision = await self.partners.set_tier(tx, partner_id, request.tier, effective_at_us)
            return pb.SetPartnerTierResponse(revision=revision)

        return await run_mutation(self.database, "SetPartnerTier", request, pb.SetPartnerTierResponse, set_tier)

    async def SetCommissionRate(
        self, request: pb.SetCommissionRateRequest, context: Context
    ) -> pb.SetCommissionRateResponse:
        """Give a tier a rate from an instant on. INVALID_ARGUMENT PCT_OUT_OF_RANGE, MATCH_VALUE_WRONG."""
        effective_at_us = timestamp_to_us(request.effective_at, "effective_at")
        try:
            pct = to_scaled(request.pct, PERCENT_PLACES, "pct")
        except OutOfRange:
            raise errors.pct_out_of_range() from None
        kind = MATCH_KINDS[request.match_kind]

        async def set_rate(tx: Transaction) -> pb.SetCommissionRateResponse:
            revision = await self.rates.set_rate(tx, request.tier, kind, request.match_value, pct, effective_at_us)
            return pb.SetCommissionRateResponse(revision=revision)

        return await run_mutation(self.database, "SetCommissionRate", request, pb.SetCommissionRateResponse, set_rate)

    async def AssignPartnerOfRecord(
        self, request: pb.AssignPartnerOfRecordRequest, context: Context
    ) -> pb.AssignPartnerOfRecordResponse:
        """Credit a partner with a subject's spend. FAILED_PRECONDITION PARTNER_OF_RECORD_OVERLAP."""
        kind = SUBJECT_KINDS[request.subject_type]
        subject_id, partner_id = id_of(request.subject_id, "subject_id"), id_of(request.partner_id, "partner_id")
        start_at_us, end_at_us = timestamp_to_us(request.start_at, "start_at"), optional_us(request, "end_at")

        async def assign(tx: Transaction) -> pb.AssignPartnerOfRecordResponse:
            por, revision = await self.partners_of_record.assign(
                tx, kind, subject_id, partner_id, start_at_us, end_at_us
            )
            return pb.AssignPartnerOfRecordResponse(partner_of_record=por_message(por), revision=revision)

        return await run_mutation(
            self.database, "AssignPartnerOfRecord", request, pb.AssignPartnerOfRecordResponse, assign
        )

    async def EndPartnerOfRecord(
        self, request: pb.EndPartnerOfRecordRequest, context: Context
    ) -> pb.EndPartnerOfRecordResponse:
        """End an open assignment. FAILED_PRECONDITION PARTNER_OF_RECORD_ENDED."""
        por_id, end_at_us = id_of(request.por_id, "por_id"), timestamp_to_us(request.end_at, "end_at")

        async def end(tx: Transaction) -> pb.EndPartnerOfRecordResponse:
            return pb.EndPartnerOfRecordResponse(revision=await self.partners_of_record.end(tx, por_id, end_at_us))

        return await run_mutation(self.database, "EndPartnerOfRecord", request, pb.EndPartnerOfRecordResponse, end)

    async def ResolvePartnerOfRecord(
        self, request: pb.ResolvePartnerOfRecordRequest, context: Context
    ) -> pb.ResolvePartnerOfRecordResponse:
        """Who is credited at an instant. INVALID_ARGUMENT SUBJECT_MISSING."""
        resolved = await self.partners_of_record.resolve(
            self.database,
            optional_id(request.org_id, "org_id"),
            optional_id(request.billing_account_id, "billing_account_id"),
            timestamp_to_us(request.at, "at"),
        )
        return pb.ResolvePartnerOfRecordResponse(
            partner_of_record=None if resolved.por is None else por_message(resolved.por),
            tier=resolved.tier,
            revision=resolved.revision,
        )
