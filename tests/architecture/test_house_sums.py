"""What parts add up to has more digits than a part: every number of the databases and contracts is one or the other."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

import pytest
from apportion_common.decimals import AMOUNT_MAX, AMOUNT_PLACES, AMOUNT_SUM_MAX, QUANTITY_SUM_MAX
from apportion_common.protos import MONEY_MAX, money_sum_to_proto, money_to_proto
from apportion_common.settings import SERVICES
from apportion_ledger.limits import PAYOUT_AMOUNT_MAX
from apportion_orgs.limits import INVOICE_AMOUNT_MAX
from apportion_pricing.limits import POSITION_QUANTITY_MAX
from google.protobuf.descriptor import Descriptor
from sqlalchemy import Column, Numeric

PERCENTS = {
    "ledger": {"commission_rate.pct", "ledger_line.partner_pct"},
    "orgs": {"org_billing_mapping.percent", "invoice_part.percent"},
    "pricing": {"tax_rate.rate"},
}
PRICES = {"pricing": {"product_sku.cost", "product_sku.retail", "plan_sku.overage_price"}}
PARTS = {
    "ledger": {
        *(f"ledger_line.{name}" for name in ("quantity", "amount_gross", "partner_amount", "net")),
        "settlement.threshold",
    },
    # A rounding difference is less than a minor unit for each organisation.
    "orgs": {"invoice.rounding_difference", "rounding_entry.amount"},
    "pricing": {
        "plan.base_price",
        "plan_sku.included_qty",
        "parity_run.tolerance",
        "charge.quantity",
        "charge.amount",
        "budget.amount",
    },
    "metering": {"metering_event.quantity", "metering_shadow.quantity"},
}
SUMS = {
    "ledger": {
        *(f"partner_balance.{name}" for name in ("earned", "clawed_back", "paid_real_time", "paid_sweep")),
        *(f"partner_day.{name}" for name in ("earned", "clawed_back", "paid_real_time")),
        *(f"statement.{name}" for name in ("opening", "earned", "clawed_back", "closing")),
        *(f"statement.{name}" for name in ("paid_real_time", "paid_sweep")),
        *("settlement.amount", "payout_instruction.amount", "sweep_claim.balance", "sweep_claim.paid"),
    },
    "orgs": {
        *("invoice.ledger_total", "invoice.total", "invoice_document.total"),
        *(f"invoice_part.{name}" for name in ("ledger_total", "part", "owner_pays", "org_pays")),
        *(f"invoice_line.{name}" for name in ("quantity", "gross", "partner_amount", "amount")),
    },
    "pricing": {"usage_position.quantity", "charge.quantity_before", "parity_result.estimated", "parity_result.rated"},
}
UNBOUNDED = {"pricing": {"usage_position.charged", "usage_position.shadow_charged"}}
"""Sums of as many charges as there are, in whole units of 10^-9."""
DIGITS = ((PERCENTS, (7, 4)), (PRICES, (30, 12)), (PARTS, (27, 9)), (SUMS, (38, 9)), (UNBOUNDED, (None, None)))
"""Precision and scale of each sort of number."""

MONEY_OF_PARTS = {
    *(f"apportion.ledger.v1.LedgerLine.{name}" for name in ("amount_gross", "partner_amount", "net", "real_time_paid")),
    "apportion.ledger.v1.ChargeToAppend.amount",
    *(f"apportion.pricing.v1.{name}" for name in ("Charge.amount", "Plan.base_price", "CreatePlanRequest.base_price")),
}
MONEY_WITHIN_A_LIMIT = {
    *("apportion.ledger.v1.SweepResult.paid", "apportion.ledger.v1.Settlement.amount"),
    *(f"apportion.orgs.v1.{name}" for name in ("Invoice.total", "InvoiceDocument.total", "InvoiceLine.amount")),
    *(f"apportion.orgs.v1.InvoiceOrgPart.{name}" for name in ("part", "owner_pays", "org_pays")),
}
"""Sums that a named limit keeps within a Money: PAYOUT_AMOUNT_MAX, INVOICE_AMOUNT_MAX."""
MONEY_BESIDE_A_DECIMAL = {
    "apportion.ledger.v1.SweepResult.balance",
    *(
        f"apportion.ledger.v1.StatementOfCurrency.{name}"
        for name in ("opening", "earned", "clawed_back", "paid_real_time", "paid_sweep", "closing")
    ),
}
"""Sums without a limit: absent where a Money cannot hold them, with a Decimal beside them that always does."""


@pytest.mark.parametrize("service", SERVICES)
def test_every_number_of_a_database_is_a_part_or_a_sum_in_its_width(service: str) -> None:
    found: dict[str, tuple[int | None, int | None]] = {
        f"{column.table.name}.{column.name}": (column.type.precision, column.type.scale)
        for column in _columns(service)
        if isinstance(column.type, Numeric)
    }
    declared = {name: digits for sort, digits in DIGITS for name in sort.get(service, ())}
    assert found == declared, "say in this file of each number whether it is a part or what parts add up to"


def test_every_money_of_a_contract_is_a_part_within_a_limit_or_beside_a_decimal() -> None:
    found = {
        field.full_name
        for service in SERVICES
        for file in [importlib.import_module(f"apportion.{service}.v1.{service}_service_pb2").DESCRIPTOR]
        for message in _messages(file.message_types_by_name.values())
        for field in message.fields
        if field.message_type is not None and field.message_type.full_name == "google.type.Money"
    }
    assert found == MONEY_OF_PARTS | MONEY_WITHIN_A_LIMIT | MONEY_BESIDE_A_DECIMAL


def test_a_sum_has_room_for_a_hundred_thousand_million_of_the_largest_parts() -> None:
    assert AMOUNT_SUM_MAX == QUANTITY_SUM_MAX >= 10**11 * AMOUNT_MAX
    assert money_to_proto("AUD", MONEY_MAX).units == 2**63 - 1
    assert money_sum_to_proto("AUD", MONEY_MAX + 1) is money_sum_to_proto("AUD", -MONEY_MAX - 1) is None
    assert MONEY_MAX // 10**AMOUNT_PLACES == 9_223_372_036_854_775_807
    assert PAYOUT_AMOUNT_MAX == INVOICE_AMOUNT_MAX == MONEY_MAX
    assert POSITION_QUANTITY_MAX == QUANTITY_SUM_MAX


def _columns(service: str) -> Iterator[Column[object]]:
    for table in importlib.import_module(f"apportion_{service}.store.tables").metadata.sorted_tables:
        yield from table.columns


def _messages(messages: object) -> Iterator[Descriptor]:
    for message in messages:  # type: ignore[attr-defined]
        yield message
        yield from _messages(message.nested_types)
