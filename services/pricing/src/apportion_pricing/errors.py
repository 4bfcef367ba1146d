"""The refusals that are pricing's own, each with its stable reason."""

from __future__ import annotations

from apportion_common.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, Unavailable


def sku_exists(sku: str) -> AlreadyExists:
    return AlreadyExists("SKU_EXISTS", f"The SKU {sku} is in the catalog.", field="sku.sku")


def plan_exists(name: str) -> AlreadyExists:
    return AlreadyExists("PLAN_EXISTS", f"There is a plan {name!r}, or one with that id.", field="name")


def plan_not_found(field: str = "plan_id") -> NotFound:
    return NotFound("PLAN_NOT_FOUND", "There is no plan with that id.", field=field)


def unknown_sku(sku: str, field: str) -> InvalidArgument:
    return InvalidArgument("UNKNOWN_SKU", f"The SKU {sku} is not one that this plan may have.", field=field)


def sku_repeated(sku: str, field: str) -> InvalidArgument:
    return InvalidArgument("SKU_REPEATED", f"The SKU {sku} occurs more than once.", field=field)


def per_unit_has_no_tiers(sku: str, field: str) -> InvalidArgument:
    return InvalidArgument("TIERS_NOT_GRADUATED", f"{sku} is charged per unit and has no tiers.", field=field)


def not_period_start(what: str) -> FailedPrecondition:
    return FailedPrecondition(
        "EFFECTIVE_AT_NOT_PERIOD_START", f"{what} takes effect at a period's start (UTC).", field="effective_at"
    )


def currency_mismatch(plan: str, account: str) -> FailedPrecondition:
    return FailedPrecondition(
        "CURRENCY_MISMATCH", f"The plan's prices are in {plan}; the organisation is billed in {account}."
    )


def parity_not_proved(why: str) -> FailedPrecondition:
    return FailedPrecondition("PARITY_NOT_PROVED", why)


def org_not_found() -> NotFound:
    return NotFound("ORG_NOT_FOUND", "There is no organisation with that id.", field="org_id")


def orgs_unavailable(why: str) -> Unavailable:
    return Unavailable("ORGS_UNAVAILABLE", f"The orgs service does not answer: {why}.", retry_after_s=1)


def page_token_malformed() -> InvalidArgument:
    return InvalidArgument(
        "PAGE_TOKEN_MALFORMED", "The page token is not one that this service gave.", field="page_token"
    )
