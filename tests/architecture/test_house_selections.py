"""What a mutation is to take is named, or "all" is said: a client that drops an empty field never means everybody."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pytest
from apportion.identity.v1 import identity_service_pb2 as identity
from apportion.ledger.v1 import ledger_service_pb2 as ledger
from apportion.metering.v1 import metering_service_pb2 as metering
from apportion.orgs.v1 import orgs_service_pb2 as orgs
from apportion.pricing.v1 import pricing_service_pb2 as pricing
from buf.validate import validate_pb2

SERVICES: Final = (identity, pricing, metering, ledger, orgs)
EVERYTHING: Final = ("all", "all_orgs")
"""The fields by which a caller says that all is meant."""
NOT_A_SELECTION: Final = {
    "CreatePlan.rows": "a plan may begin without rows",
    "CreatePlan.plan_id": "the service chooses one",
    "SetEntitlement.overrides": "an entitlement may take back its overrides",
    "CreatePartner.partner_id": "the service chooses one",
    "CreateOrg.org_id": "the service chooses one",
    "CreateOrg.parent_org_id": "a root has none",
    "CreateOrg.owner_user_id": "an organisation may have no owner yet",
    "CreateBillingAccount.billing_account_id": "the service chooses one",
}
"""What may be left out of a mutation without meaning everybody, and what it then means."""


def optional_selectors(request: Any) -> Iterator[str]:
    """The fields of a request that name what it takes, and may be empty: lists, filters and ids."""
    for field in request.fields:
        rules = field.GetOptions().Extensions[validate_pb2.field]
        is_list = field.is_repeated and not rules.repeated.min_items
        is_filter = field.message_type is not None and field.message_type.name.endswith("Filter")
        may_be_empty = rules.ignore == validate_pb2.IGNORE_IF_ZERO_VALUE
        is_id = not field.is_repeated and field.name.endswith("_id") and may_be_empty
        if is_list or is_filter or is_id:
            yield field.name


def mutations() -> Iterator[Any]:
    """Every RPC of the five services whose request has an id by which it is done once."""
    for module in SERVICES:
        for service in module.DESCRIPTOR.services_by_name.values():
            yield from (method for method in service.methods if "request_id" in method.input_type.fields_by_name)


@pytest.mark.parametrize("method", list(mutations()), ids=lambda method: method.name)
def test_a_mutation_whose_selection_may_be_empty_has_a_field_that_says_all(method: Any) -> None:
    request = method.input_type
    selectors = [f"{method.name}.{name}" for name in optional_selectors(request)]
    if any(selector not in NOT_A_SELECTION for selector in selectors):
        assert any(name in request.fields_by_name for name in EVERYTHING), selectors


def test_what_is_said_to_be_no_selection_exists() -> None:
    known = {f"{method.name}.{name}" for method in mutations() for name in optional_selectors(method.input_type)}
    assert set(NOT_A_SELECTION) <= known


def test_the_mutations_that_can_take_all_are_these() -> None:
    can = {
        method.name for method in mutations() if any(name in method.input_type.fields_by_name for name in EVERYTHING)
    }
    assert can == {"ClosePeriod", "RequeueDeadLetters", "DiscardDeadLetters", "SetEngineMode"}
