"""The errors that are pricing's own, each with its stable reason."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from apportion_common.errors import (
    AlreadyExists,
    ApportionError,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    Unavailable,
)


@contextmanager
def at_field(field: str) -> Iterator[None]:
    """Let an error that names no field name this one."""
    try:
        yield
    except ApportionError as error:
        error.field = error.field or field
        raise


@contextmanager
def within_field(field: str) -> Iterator[None]:
    """Let an error name its field below this one."""
    try:
        yield
    except ApportionError as error:
        error.field = f"{field}.{error.field}" if error.field else field
        raise


def sku_exists(sku: str) -> AlreadyExists:
    """Return the error for a SKU that is in the catalog."""
    return AlreadyExists("SKU_EXISTS", f"The SKU {sku} is in the catalog.", field="sku.sku")


def plan_exists(name: str) -> AlreadyExists:
    """Return the error for a plan whose name or id is taken."""
    return AlreadyExists("PLAN_EXISTS", f"There is a plan {name!r}, or one with that id.", field="name")


def plan_not_found(field: str = "plan_id") -> NotFound:
    """Return the error for a plan id that there is none of."""
    return NotFound("PLAN_NOT_FOUND", "There is no plan with that id.", field=field)


def unknown_sku(sku: str, field: str) -> InvalidArgument:
    """Return the error for a SKU that the catalog, or the plan, does not have."""
    return InvalidArgument("UNKNOWN_SKU", f"The SKU {sku} is not one that this plan may have.", field=field)


def sku_repeated(sku: str, field: str) -> InvalidArgument:
    """Return the error for a list that names a SKU twice."""
    return InvalidArgument("SKU_REPEATED", f"The SKU {sku} occurs more than once.", field=field)


def not_period_start(what: str) -> FailedPrecondition:
    """Return the error for `what` at an instant that is no period's start (spec 03)."""
    return FailedPrecondition(
        "EFFECTIVE_AT_NOT_PERIOD_START", f"{what} takes effect at a period's start (UTC).", field="effective_at"
    )


def currency_mismatch(plan: str, account: str) -> FailedPrecondition:
    """Return the error for a plan in another currency than that of the billing account."""
    return FailedPrecondition(
        "CURRENCY_MISMATCH", f"The plan's prices are in {plan}; the organisation is billed in {account}."
    )


def parity_not_proved(why: str) -> FailedPrecondition:
    """Return the error for a live engine (spec 03, "Engine modes")."""
    return FailedPrecondition("PARITY_NOT_PROVED", why)


def org_not_found() -> NotFound:
    """Return the error for an organisation that orgs does not know."""
    return NotFound("ORG_NOT_FOUND", "There is no organisation with that id.", field="org_id")


def orgs_unavailable(why: str) -> Unavailable:
    """Return the error for an orgs that does not answer, or not with what was asked: waiting helps."""
    return Unavailable("ORGS_UNAVAILABLE", f"The orgs service does not answer: {why}.", retry_after_s=1)
