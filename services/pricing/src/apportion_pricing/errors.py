"""The refusals that are pricing's own, each with its stable reason."""

from __future__ import annotations

from apportion_common.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, Unavailable


def sku_exists(sku: str) -> AlreadyExists:
    """The refusal of a SKU that is in the catalog."""
    return AlreadyExists("SKU_EXISTS", f"The SKU {sku} is in the catalog.", field="sku.sku")


def plan_exists(name: str) -> AlreadyExists:
    """The refusal of a plan whose name or id is taken."""
    return AlreadyExists("PLAN_EXISTS", f"There is a plan {name!r}, or one with that id.", field="name")


def plan_not_found(field: str = "plan_id") -> NotFound:
    """The refusal of a plan id that there is none of."""
    return NotFound("PLAN_NOT_FOUND", "There is no plan with that id.", field=field)


def unknown_sku(sku: str, field: str) -> InvalidArgument:
    """The refusal of a SKU that the catalog, or the plan, does not have."""
    return InvalidArgument("UNKNOWN_SKU", f"The SKU {sku} is not one that this plan may have.", field=field)


def sku_repeated(sku: str, field: str) -> InvalidArgument:
    """The refusal of a list that names a SKU twice."""
    return InvalidArgument("SKU_REPEATED", f"The SKU {sku} occurs more than once.", field=field)


def per_unit_has_no_tiers(sku: str, field: str) -> InvalidArgument:
    """The refusal of tiers on a row that is charged per unit."""
    return InvalidArgument("TIERS_NOT_GRADUATED", f"{sku} is charged per unit and has no tiers.", field=field)


def not_period_start(what: str) -> FailedPrecondition:
    """The refusal of `what` at an instant that is no period's start (spec 03)."""
    return FailedPrecondition(
        "EFFECTIVE_AT_NOT_PERIOD_START", f"{what} takes effect at a period's start (UTC).", field="effective_at"
    )


def currency_mismatch(plan: str, account: str) -> FailedPrecondition:
    """The refusal of a plan in another currency than that of the billing account."""
    return FailedPrecondition(
        "CURRENCY_MISMATCH", f"The plan's prices are in {plan}; the organisation is billed in {account}."
    )


def parity_not_proved(why: str) -> FailedPrecondition:
    """The refusal of a live engine (spec 03, "Engine modes")."""
    return FailedPrecondition("PARITY_NOT_PROVED", why)


def org_not_found() -> NotFound:
    """The refusal of an organisation that orgs does not know."""
    return NotFound("ORG_NOT_FOUND", "There is no organisation with that id.", field="org_id")


def orgs_unavailable(why: str) -> Unavailable:
    """Orgs does not answer, or not with what was asked: waiting helps."""
    return Unavailable("ORGS_UNAVAILABLE", f"The orgs service does not answer: {why}.", retry_after_s=1)


def page_token_malformed() -> InvalidArgument:
    """The refusal of a page token that the service did not give."""
    return InvalidArgument(
        "PAGE_TOKEN_MALFORMED", "The page token is not one that this service gave.", field="page_token"
    )
