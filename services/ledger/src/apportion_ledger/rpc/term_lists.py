"""RPCs that list and find partners, tiers, rates and partners of record."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

import grpc
from apportion.ledger.v1 import ledger_service_pb2 as pb
from apportion.ledger.v1.ledger_service_pb2_grpc import LedgerServiceServicer
from apportion_common.clock import Clock
from apportion_common.decimals import PERCENT_PLACES
from apportion_common.fields import id_of, instant_or_now, optional_id, optional_us
from apportion_common.ids import parse_uuid
from apportion_common.names import NameMatch
from apportion_common.pages import int_of, page_size, read_token, split_page
from apportion_common.protos import scaled_to_decimal_proto, us_to_timestamp

from apportion_ledger import errors
from apportion_ledger.app.term_lists import TermLists
from apportion_ledger.domain.attribution import MatchKind, PorSubject
from apportion_ledger.domain.partners import Partner, PartnerTier, RateOfTier, RateQuery
from apportion_ledger.rpc.messages import MATCH_KINDS, SUBJECT_KINDS, partner_of_record_to_message, partner_to_message

_MATCH_KIND_OF: Final = {kind: number for number, kind in MATCH_KINDS.items()}

Context = grpc.aio.ServicerContext[Any, Any]


class TermListRpcs(LedgerServiceServicer):
    """Lists of terms."""

    _clock: Clock
    _term_lists: TermLists

    async def LookupPartners(self, request: pb.LookupPartnersRequest, context: Context) -> pb.LookupPartnersResponse:
        """Return the partners of each name or id, and what comes nearest to one that no partner has."""
        matches = await self._term_lists.look_up(request.names)
        return pb.LookupPartnersResponse(matches=[_match_to_message(match) for match in matches])

    async def GetPartner(self, request: pb.GetPartnerRequest, context: Context) -> pb.GetPartnerResponse:
        """Return a partner and its tier at an instant. NOT_FOUND PARTNER_NOT_FOUND."""
        at_us = instant_or_now(request, "at", self._clock)
        partner, tier = await self._term_lists.partner(id_of(request.partner_id, "partner_id"), at_us)
        return pb.GetPartnerResponse(partner=partner_to_message(partner), tier=tier)

    async def ListPartners(self, request: pb.ListPartnersRequest, context: Context) -> pb.ListPartnersResponse:
        """Return a page of partners by id. INVALID_ARGUMENT PAGE_TOKEN_MALFORMED."""
        size, after = page_size(request.page_size), read_token(request.page_token, parse_uuid)
        found = await self._term_lists.partners(request.search, after, size + 1)
        page, token = split_page(found, size, lambda partner: (partner.partner_id,))
        return pb.ListPartnersResponse(
            partners=[partner_to_message(partner) for partner in page], next_page_token=token
        )

    async def ListPartnerTiers(
        self, request: pb.ListPartnerTiersRequest, context: Context
    ) -> pb.ListPartnerTiersResponse:
        """Return a page of tiers. NOT_FOUND PARTNER_NOT_FOUND, INVALID_ARGUMENT PAGE_TOKEN_MALFORMED."""
        size, after = page_size(request.page_size), read_token(request.page_token, _partner_and_revision)
        found = await self._term_lists.tiers(optional_id(request.partner_id, "partner_id"), after, size + 1)
        page, token = split_page(found, size, lambda tier: (tier.partner_id, tier.revision))
        return pb.ListPartnerTiersResponse(tiers=[_tier_to_message(tier) for tier in page], next_page_token=token)

    async def ListCommissionRates(
        self, request: pb.ListCommissionRatesRequest, context: Context
    ) -> pb.ListCommissionRatesResponse:
        """Return a page of rates by id. INVALID_ARGUMENT PAGE_TOKEN_MALFORMED."""
        size, after = page_size(request.page_size), read_token(request.page_token, parse_uuid)
        query = RateQuery(request.tier, MATCH_KINDS.get(request.match_kind), request.match_value)
        found = await self._term_lists.rates(query, after, size + 1)
        page, token = split_page(found, size, lambda rate: (rate.rate_id,))
        return pb.ListCommissionRatesResponse(rates=[_rate_to_message(rate) for rate in page], next_page_token=token)

    async def ListPartnersOfRecord(
        self, request: pb.ListPartnersOfRecordRequest, context: Context
    ) -> pb.ListPartnersOfRecordResponse:
        """Return a page of assignments by id.

        INVALID_ARGUMENT SUBJECT_MISSING, PAGE_TOKEN_MALFORMED; NOT_FOUND PARTNER_NOT_FOUND.
        """
        size, after = page_size(request.page_size), read_token(request.page_token, parse_uuid)
        found = await self._term_lists.partners_of_record(
            _subject(request),
            optional_id(request.partner_id, "partner_id"),
            optional_us(request, "at"),
            after,
            size + 1,
        )
        page, token = split_page(found, size, lambda por: (por.por_id,))
        return pb.ListPartnersOfRecordResponse(
            partners_of_record=[partner_of_record_to_message(por) for por in page], next_page_token=token
        )


def _subject(request: pb.ListPartnersOfRecordRequest) -> tuple[PorSubject, UUID] | None:
    """Return the subject that is asked for. Raises InvalidArgument SUBJECT_MISSING when half of it is named."""
    kind, subject_id = SUBJECT_KINDS.get(request.subject_type), optional_id(request.subject_id, "subject_id")
    if kind is None and subject_id is None:
        return None
    if kind is None or subject_id is None:
        raise errors.subject_missing()
    return kind, subject_id


def _partner_and_revision(partner_id: str, revision: str) -> tuple[UUID, int]:
    return parse_uuid(partner_id), int_of(revision)


def _match_to_message(match: NameMatch[Partner]) -> pb.PartnerMatch:
    partners = [partner_to_message(partner) for partner in match.found]
    return pb.PartnerMatch(name=match.name, partners=partners, nearest=match.nearest)


def _tier_to_message(tier: PartnerTier) -> pb.PartnerTier:
    return pb.PartnerTier(
        partner_id=str(tier.partner_id),
        tier=tier.tier,
        effective_at=us_to_timestamp(tier.effective_at_us),
        revision=tier.revision,
    )


def _rate_to_message(rate: RateOfTier) -> pb.CommissionRate:
    return pb.CommissionRate(
        rate_id=str(rate.rate_id),
        tier=rate.tier,
        match_kind=_MATCH_KIND_OF[rate.match_kind],
        match_value="" if rate.match_kind is MatchKind.DEFAULT else rate.match_value,
        pct=scaled_to_decimal_proto(rate.pct, PERCENT_PLACES),
        effective_at=us_to_timestamp(rate.effective_at_us),
        revision=rate.revision,
    )
