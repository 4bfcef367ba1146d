"""Between the contract's messages and the use cases' values. Every error names the request's field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from apportion.pricing.v1 import pricing_service_pb2 as pb
from apportion_common.clock import Clock
from apportion_common.decimals import PRICE_PLACES, QUANTITY_PLACES
from apportion_common.errors import InvalidArgument
from apportion_common.fields import id_of, optional_id_bytes
from apportion_common.ids import uuid7
from apportion_common.protos import (
    money_from_proto,
    money_to_proto,
    scaled_to_decimal_proto,
    timestamp_to_us,
    us_to_timestamp,
    uuid_text,
)

from apportion_pricing import errors
from apportion_pricing.app.entitlements import EffectiveEntitlements, EffectiveSku
from apportion_pricing.app.plans import PlanRow
from apportion_pricing.domain.charge_models import MODELS
from apportion_pricing.domain.engine_mode import EngineMode
from apportion_pricing.domain.records import ChargeRecord, PlanRecord, SkuRecord
from apportion_pricing.domain.terms import (
    AssignmentRow,
    EntitlementRow,
    Override,
    PlanSkuRow,
    SkuTerms,
    SourceKind,
    SubjectKind,
)
from apportion_pricing.domain.tiers import NO_TIERS, Tiers, parse_included, parse_price, parse_tiers

SKU_TYPES: Final = {
    pb.SKU_TYPE_HOSTING: "hosting",
    pb.SKU_TYPE_OBJECT: "object",
    pb.SKU_TYPE_VALIDATION: "validation",
    pb.SKU_TYPE_ACTION: "action",
    pb.SKU_TYPE_ANALYTICS: "analytics",
}
CHARGE_MODELS: Final[Mapping[pb.ChargeModel, str]] = {
    getattr(pb, f"CHARGE_MODEL_{name.upper()}"): name for name in MODELS
}
MODES: Final = {
    pb.ENGINE_MODE_OFF: EngineMode.OFF,
    pb.ENGINE_MODE_SHADOW: EngineMode.SHADOW,
    pb.ENGINE_MODE_LIVE: EngineMode.LIVE,
}
SOURCES: Final = {
    SourceKind.PLAN: pb.VALUE_SOURCE_PLAN,
    SourceKind.ACCOUNT: pb.VALUE_SOURCE_BILLING_ACCOUNT,
    SourceKind.ORG: pb.VALUE_SOURCE_ORG,
}
_SKU_TYPE_OF: Final = {name: number for number, name in SKU_TYPES.items()}
_CHARGE_MODEL_OF: Final = {model: number for number, model in CHARGE_MODELS.items()}
_MODE_OF: Final[Mapping[str, pb.EngineMode]] = {mode: number for number, mode in MODES.items()}


def sku_from_message(sku: pb.Sku) -> SkuRecord:
    """Return a SKU of the catalog."""
    return SkuRecord(sku.sku, SKU_TYPES[sku.type], sku.unit)


def sku_to_message(sku: SkuRecord) -> pb.Sku:
    """Return the message of a SKU."""
    return pb.Sku(sku=sku.sku, type=_SKU_TYPE_OF[sku.sku_type], unit=sku.unit)


def plan_from_message(request: pb.CreatePlanRequest, clock: Clock) -> PlanRecord:
    """Return the plan that a request makes, under its id or a new one."""
    plan_id = optional_id_bytes(request.plan_id, "plan_id") or uuid7(clock.now_us() * 1_000).bytes
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


def plan_row_from_message(row: pb.PlanSku, field: str) -> PlanRow:
    """Return a plan's row as a caller wants it. InvalidArgument or OutOfRange with the values' reasons."""
    included = 0
    if row.HasField("included_qty"):
        with errors.at_field(f"{field}.included_qty"):
            included = parse_included(row.included_qty.value)
    with errors.at_field(f"{field}.overage_price"):
        price = parse_price(row.overage_price.value)
    tiers = tiers_from_messages(row.tiers, f"{field}.tiers")
    return PlanRow(row.sku, SkuTerms(CHARGE_MODELS[row.charge_model], included, price, tiers))


def tiers_from_messages(rows: Sequence[pb.Tier], field: str) -> Tiers:
    """Return the tiers of messages."""
    if not rows:
        return NO_TIERS
    with errors.at_field(field):
        return parse_tiers([{"threshold": row.threshold.value, "price": row.price.value} for row in rows])


def tiers_to_messages(tiers: Tiers) -> list[pb.Tier]:
    """Return the messages of tiers."""
    return [
        pb.Tier(
            threshold=scaled_to_decimal_proto(threshold, QUANTITY_PLACES),
            price=scaled_to_decimal_proto(price, PRICE_PLACES),
        )
        for threshold, price in zip(tiers.thresholds, tiers.prices, strict=True)
    ]


def plan_to_message(plan: PlanRecord, rows: Sequence[PlanSkuRow | PlanRow]) -> pb.Plan:
    """Return the message of a plan with rows."""
    return pb.Plan(
        plan_id=uuid_text(plan.plan_id),
        name=plan.name,
        currency=plan.currency,
        base_price=money_to_proto(plan.currency, plan.base_price) if plan.base_price else None,
        rows=[plan_row_to_message(row) for row in rows],
    )


def plan_row_to_message(row: PlanSkuRow | PlanRow) -> pb.PlanSku:
    """Return the message of a plan's row."""
    return pb.PlanSku(
        sku=row.sku,
        charge_model=_CHARGE_MODEL_OF[row.values.charge_model],
        included_qty=scaled_to_decimal_proto(row.values.included, QUANTITY_PLACES),
        overage_price=scaled_to_decimal_proto(row.values.overage_price, PRICE_PLACES),
        tiers=tiers_to_messages(row.values.tiers),
    )


def mode_to_message(mode: EngineMode) -> pb.EngineMode:
    """Return the message's value of a mode."""
    return _MODE_OF[mode]


def assignment_from_message(request: pb.AssignPlanRequest) -> AssignmentRow:
    """Return the assignment that a request makes."""
    return AssignmentRow(
        id_of(request.org_id, "org_id").bytes,
        id_of(request.plan_id, "plan_id").bytes,
        timestamp_to_us(request.effective_at, "effective_at"),
    )


def entitlement_from_message(request: pb.SetEntitlementRequest) -> EntitlementRow:
    """Return the entitlement row that a request makes."""
    if request.WhichOneof("subject") == "org_id":
        kind, subject_id = SubjectKind.ORG, id_of(request.org_id, "org_id")
    else:
        kind, subject_id = SubjectKind.ACCOUNT, id_of(request.billing_account_id, "billing_account_id")
    return EntitlementRow(
        kind,
        subject_id.bytes,
        id_of(request.plan_id, "plan_id").bytes,
        overrides_from_messages(request.overrides),
        timestamp_to_us(request.effective_at, "effective_at"),
    )


def overrides_from_messages(messages: Sequence[pb.Override]) -> Mapping[str, Override]:
    """Return overrides by SKU. InvalidArgument SKU_REPEATED, OVERRIDE_EMPTY and the values' reasons."""
    found: dict[str, Override] = {}
    for index, message in enumerate(messages):
        field = f"overrides[{index}]"
        if message.sku in found:
            raise errors.sku_repeated(message.sku, f"{field}.sku")
        included = price = tiers = None
        if message.HasField("included_qty"):
            with errors.at_field(f"{field}.included_qty"):
                included = parse_included(message.included_qty.value)
        if message.HasField("overage_price"):
            with errors.at_field(f"{field}.overage_price"):
                price = parse_price(message.overage_price.value)
        if message.HasField("tiers"):
            tiers = tiers_from_messages(message.tiers.tiers, f"{field}.tiers")
        if included is None and price is None and tiers is None:
            raise InvalidArgument("OVERRIDE_EMPTY", f"The override of {message.sku} overrides nothing.", field=field)
        found[message.sku] = Override(included, price, tiers)
    return found


def entitlements_to_message(found: EffectiveEntitlements) -> pb.GetEffectiveEntitlementsResponse:
    """Return the message of what an organisation gets."""
    return pb.GetEffectiveEntitlementsResponse(
        plan_id=uuid_text(found.plan_id) if found.plan_id is not None else "",
        billing_account_id=uuid_text(found.account.account_id) if found.account is not None else "",
        currency=found.currency,
        entitlements=[_entitlement_to_message(sku) for sku in found.skus],
        revision=found.revision,
    )


def _entitlement_to_message(sku: EffectiveSku) -> pb.EffectiveEntitlement:
    terms = sku.terms
    return pb.EffectiveEntitlement(
        sku=sku.sku,
        charge_model=_CHARGE_MODEL_OF[terms.values.charge_model],
        included_qty=scaled_to_decimal_proto(terms.values.included, QUANTITY_PLACES),
        included_qty_source=SOURCES[terms.included_source.kind],
        overage_price=scaled_to_decimal_proto(terms.values.overage_price, PRICE_PLACES),
        overage_price_source=SOURCES[terms.price_source.kind],
        tiers=tiers_to_messages(terms.values.tiers),
        tiers_source=SOURCES[terms.tiers_source.kind],
        used_qty=scaled_to_decimal_proto(sku.used, QUANTITY_PLACES),
    )


def charge_to_message(charge: ChargeRecord) -> pb.Charge:
    """Return the message of a stored charge."""
    return pb.Charge(
        charge_id=uuid_text(charge.charge_id),
        event_id=uuid_text(charge.event_id) if charge.event_id is not None else "",
        org_id=uuid_text(charge.org_id),
        project_id=uuid_text(charge.project_id) if charge.project_id is not None else "",
        billing_account_id=uuid_text(charge.billing_account_id),
        sku=charge.sku,
        quantity=scaled_to_decimal_proto(charge.quantity, QUANTITY_PLACES),
        quantity_before=scaled_to_decimal_proto(charge.quantity_before, QUANTITY_PLACES),
        amount=money_to_proto(charge.currency, charge.amount),
        event_time=us_to_timestamp(charge.event_time_us),
        period=charge.period,
        billed_period=charge.billed_period,
        mode=_MODE_OF.get(charge.mode, pb.ENGINE_MODE_UNSPECIFIED),
        lane=charge.lane,
        batch_seq=charge.batch_seq,
        entry_seq=charge.entry_seq,
        catalog_revision=charge.catalog_revision,
        orgs_revision=charge.orgs_revision,
    )
