"""Between the contract's messages and the use cases' values. Every refusal names the request's field."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from apportion.pricing.v1 import pricing_service_pb2 as pb
from apportion_common.clock import Clock
from apportion_common.decimals import PRICE_PLACES, QUANTITY_PLACES
from apportion_common.errors import ApportionError, InvalidArgument
from apportion_common.ids import parse_uuid_bytes, uuid7
from apportion_common.protos import (
    money_from_proto,
    money_to_proto,
    scaled_to_decimal_proto,
    timestamp_to_us,
    us_to_timestamp,
    uuid_text,
)
from google.protobuf.timestamp_pb2 import Timestamp

from apportion_pricing import errors, limits
from apportion_pricing.app.catalog_cache import LIVE, OFF, SHADOW
from apportion_pricing.app.entitlements import EffectiveEntitlements, EffectiveSku
from apportion_pricing.app.plans import PlanRowCommand
from apportion_pricing.app.ports import ChargeRecord, Place, PlanRecord, SkuRecord
from apportion_pricing.domain.rating import ChargeModel
from apportion_pricing.domain.terms import AssignmentRow, EntitlementRow, Override, PlanSkuRow, SourceKind, SubjectKind
from apportion_pricing.domain.tiers import NO_TIERS, Tiers, parse_included, parse_price, parse_tiers

SKU_TYPES: Final = {
    pb.SKU_TYPE_HOSTING: "hosting",
    pb.SKU_TYPE_OBJECT: "object",
    pb.SKU_TYPE_VALIDATION: "validation",
    pb.SKU_TYPE_ACTION: "action",
    pb.SKU_TYPE_ANALYTICS: "analytics",
}
CHARGE_MODELS: Final = {
    pb.CHARGE_MODEL_PER_UNIT: ChargeModel.PER_UNIT,
    pb.CHARGE_MODEL_GRADUATED: ChargeModel.GRADUATED,
}
MODES: Final = {pb.ENGINE_MODE_OFF: OFF, pb.ENGINE_MODE_SHADOW: SHADOW, pb.ENGINE_MODE_LIVE: LIVE}
SOURCES: Final = {
    SourceKind.PLAN: pb.VALUE_SOURCE_PLAN,
    SourceKind.ACCOUNT: pb.VALUE_SOURCE_BILLING_ACCOUNT,
    SourceKind.ORG: pb.VALUE_SOURCE_ORG,
}
_SKU_TYPE_OF: Final = {name: number for number, name in SKU_TYPES.items()}
_CHARGE_MODEL_OF: Final = {model: number for number, model in CHARGE_MODELS.items()}
_MODE_OF: Final = {mode: number for number, mode in MODES.items()}


@contextmanager
def at_field(field: str) -> Iterator[None]:
    """Let a refusal name the field at fault."""
    try:
        yield
    except ApportionError as error:
        error.field = error.field or field
        raise


def id_at(text: str, field: str) -> bytes:
    """The 16 bytes of an id. InvalidArgument ID_MALFORMED."""
    with at_field(field):
        return parse_uuid_bytes(text)


def instant(value: Timestamp, field: str) -> int:
    """An instant in microseconds since 1970 UTC."""
    return timestamp_to_us(value, field)


def instant_or_now(request: pb.GetPlanRequest | pb.GetEffectiveEntitlementsRequest, clock: Clock) -> int:
    """The instant asked for, or now."""
    return timestamp_to_us(request.at, "at") if request.HasField("at") else clock.now_us()


def page_size(asked: int) -> int:
    """Items a page."""
    return asked or limits.PAGE_SIZE_DEFAULT


def sku_record(sku: pb.Sku) -> SkuRecord:
    """A SKU of the catalog."""
    return SkuRecord(sku.sku, SKU_TYPES[sku.type], sku.unit)


def sku_message(sku: SkuRecord) -> pb.Sku:
    """A SKU as the contract has it."""
    return pb.Sku(sku=sku.sku, type=_SKU_TYPE_OF[sku.sku_type], unit=sku.unit)


def plan_record(request: pb.CreatePlanRequest, clock: Clock) -> PlanRecord:
    """The plan that a request makes, under its id or a new one."""
    plan_id = id_at(request.plan_id, "plan_id") if request.plan_id else uuid7(clock.now_us() * 1_000).bytes
    base_price = 0
    if request.HasField("base_price"):
        currency, base_price = money_from_proto(request.base_price, "base_price")
        if currency != request.currency:
            raise InvalidArgument(
                "BASE_PRICE_CURRENCY_DIFFERS",
                "The base price is not in the plan's currency.",
                field="base_price",
            )
        if base_price < 0:
            raise InvalidArgument("PRICE_NEGATIVE", "A price is not negative.", field="base_price")
    return PlanRecord(plan_id, request.name, request.currency, base_price)


def plan_row(row: pb.PlanSku, field: str) -> PlanRowCommand:
    """A plan's row as a caller wants it. Raises InvalidArgument or OutOfRange with the values' reasons."""
    included = 0
    if row.HasField("included_qty"):
        with at_field(f"{field}.included_qty"):
            included = parse_included(row.included_qty.value)
    with at_field(f"{field}.overage_price"):
        price = parse_price(row.overage_price.value)
    return PlanRowCommand(row.sku, CHARGE_MODELS[row.charge_model], included, price, tiers(row.tiers, f"{field}.tiers"))


def tiers(rows: Sequence[pb.Tier], field: str) -> Tiers:
    """The ladder of tiers."""
    if not rows:
        return NO_TIERS
    with at_field(field):
        return parse_tiers([{"threshold": row.threshold.value, "price": row.price.value} for row in rows])


def tier_messages(ladder: Tiers) -> list[pb.Tier]:
    """The tiers of a ladder."""
    return [
        pb.Tier(
            threshold=scaled_to_decimal_proto(threshold, QUANTITY_PLACES),
            price=scaled_to_decimal_proto(price, PRICE_PLACES),
        )
        for threshold, price in zip(ladder.thresholds, ladder.prices, strict=True)
    ]


def plan_message(plan: PlanRecord, rows: Sequence[PlanSkuRow | PlanRowCommand]) -> pb.Plan:
    """A plan as the contract has it."""
    return pb.Plan(
        plan_id=uuid_text(plan.plan_id),
        name=plan.name,
        currency=plan.currency,
        base_price=money_to_proto(plan.currency, plan.base_price) if plan.base_price else None,
        rows=[
            pb.PlanSku(
                sku=row.sku,
                charge_model=_CHARGE_MODEL_OF[row.charge_model],
                included_qty=scaled_to_decimal_proto(row.included, QUANTITY_PLACES),
                overage_price=scaled_to_decimal_proto(row.overage_price, PRICE_PLACES),
                tiers=tier_messages(row.tiers),
            )
            for row in rows
        ],
    )


def assignment(request: pb.AssignPlanRequest) -> AssignmentRow:
    """The assignment that a request makes."""
    return AssignmentRow(
        id_at(request.org_id, "org_id"),
        id_at(request.plan_id, "plan_id"),
        instant(request.effective_at, "effective_at"),
    )


def entitlement(request: pb.SetEntitlementRequest) -> EntitlementRow:
    """The entitlement row that a request makes."""
    if request.WhichOneof("subject") == "org_id":
        kind, subject_id = SubjectKind.ORG, id_at(request.org_id, "org_id")
    else:
        kind, subject_id = SubjectKind.ACCOUNT, id_at(request.billing_account_id, "billing_account_id")
    return EntitlementRow(
        kind,
        subject_id,
        id_at(request.plan_id, "plan_id"),
        overrides(request.overrides),
        instant(request.effective_at, "effective_at"),
    )


def overrides(messages: Sequence[pb.Override]) -> Mapping[str, Override]:
    """The overrides of a request by SKU. InvalidArgument SKU_REPEATED, OVERRIDE_EMPTY and the values' reasons."""
    found: dict[str, Override] = {}
    for index, message in enumerate(messages):
        field = f"overrides[{index}]"
        if message.sku in found:
            raise errors.sku_repeated(message.sku, f"{field}.sku")
        included = price = ladder = None
        if message.HasField("included_qty"):
            with at_field(f"{field}.included_qty"):
                included = parse_included(message.included_qty.value)
        if message.HasField("overage_price"):
            with at_field(f"{field}.overage_price"):
                price = parse_price(message.overage_price.value)
        if message.HasField("tiers"):
            ladder = tiers(message.tiers.tiers, f"{field}.tiers")
        if included is None and price is None and ladder is None:
            raise InvalidArgument("OVERRIDE_EMPTY", f"The override of {message.sku} overrides nothing.", field=field)
        found[message.sku] = Override(included, price, ladder)
    return found


def entitlements_message(found: EffectiveEntitlements) -> pb.GetEffectiveEntitlementsResponse:
    """What an organisation gets, as the contract has it."""
    return pb.GetEffectiveEntitlementsResponse(
        plan_id=uuid_text(found.plan_id) if found.plan_id is not None else "",
        billing_account_id=uuid_text(found.account.account_id) if found.account is not None else "",
        currency=found.currency,
        entitlements=[_entitlement_message(sku) for sku in found.skus],
        revision=found.revision,
    )


def _entitlement_message(sku: EffectiveSku) -> pb.EffectiveEntitlement:
    terms = sku.terms
    return pb.EffectiveEntitlement(
        sku=sku.sku,
        charge_model=_CHARGE_MODEL_OF[terms.values.charge_model],
        included_qty=scaled_to_decimal_proto(terms.values.included, QUANTITY_PLACES),
        included_qty_source=SOURCES[terms.included_source.kind],
        overage_price=scaled_to_decimal_proto(terms.values.overage_price, PRICE_PLACES),
        overage_price_source=SOURCES[terms.price_source.kind],
        tiers=tier_messages(terms.values.tiers),
        tiers_source=SOURCES[terms.tiers_source.kind],
        used_qty=scaled_to_decimal_proto(sku.used, QUANTITY_PLACES),
    )


def charge_message(charge: ChargeRecord) -> pb.Charge:
    """A stored charge as the contract has it."""
    return pb.Charge(
        charge_id=uuid_text(charge.charge_id),
        event_id=uuid_text(charge.event_id),
        org_id=uuid_text(charge.org_id),
        project_id=uuid_text(charge.project_id) if charge.project_id is not None else "",
        billing_account_id=uuid_text(charge.billing_account_id),
        sku=charge.sku,
        quantity=scaled_to_decimal_proto(charge.quantity, QUANTITY_PLACES),
        quantity_before=scaled_to_decimal_proto(charge.quantity_before, QUANTITY_PLACES),
        amount=money_to_proto(charge.currency, charge.amount),
        event_time=us_to_timestamp(charge.event_time_us),
        period=charge.period,
        mode=_MODE_OF.get(charge.mode, pb.ENGINE_MODE_UNSPECIFIED),
        lane=charge.lane,
        batch_seq=charge.batch_seq,
        entry_seq=charge.entry_seq,
        catalog_revision=charge.catalog_revision,
        orgs_revision=charge.orgs_revision,
    )


def place_token(place: Place) -> str:
    """The token of the page after a charge."""
    lane, entry_seq, kind = place
    return base64.urlsafe_b64encode(f"{lane}:{entry_seq}:{kind}".encode()).decode()


def read_place_token(token: str) -> Place | None:
    """The charge that a page comes after. InvalidArgument PAGE_TOKEN_MALFORMED."""
    if not token:
        return None
    try:
        lane, entry_seq, kind = base64.urlsafe_b64decode(token.encode("ascii")).decode("ascii").split(":")
        place = int(lane), int(entry_seq), kind
    except (ValueError, binascii.Error) as error:
        raise errors.page_token_malformed() from error
    if not (0 <= place[0] < 2**31 and 0 <= place[1] < 2**63):
        raise errors.page_token_malformed()
    return place
