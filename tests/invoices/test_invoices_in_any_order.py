"""A year of usage on the services' own tables, drawn in any order: every line is on exactly one invoice."""

from __future__ import annotations

from decimal import Decimal

from billing_world import BillingWorld, ByTheServices
from hypothesis import HealthCheck, Phase, given, settings
from orgs_invoices import ACCOUNTS, Season, run, years

EXAMPLES = 8
UNSHRUNK = tuple(phase for phase in Phase if phase not in (Phase.shrink, Phase.explain))
"""An example takes seconds here; to make one small, there are the rules alone."""


@given(year=years(5, 3, 10))
@settings(
    max_examples=EXAMPLES,
    phases=UNSHRUNK,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
async def test_every_line_of_a_year_is_on_exactly_one_invoice_under_its_period_and_mapping(
    world: BillingWorld, year: list[Season]
) -> None:
    driver = await ByTheServices.make(world)
    model = await run(year, driver)
    accounts = [driver.id_of(account) for account in ACCOUNTS]
    ((count, total),) = world.orgs_rows(
        "SELECT count(*), coalesce(sum(ledger_total), 0) FROM invoice"
        " WHERE state = 'final' AND billing_account_id = ANY(%(accounts)s::uuid[])",
        accounts=accounts,
    )
    assert count == len(model.finals)
    assert total == Decimal(sum(line.gross for line in model.lines)).scaleb(-9)
    ((lines,),) = world.orgs_rows(
        "SELECT coalesce(sum(line_count), 0) FROM invoice_line JOIN invoice USING (invoice_id)"
        " WHERE state = 'final' AND billing_account_id = ANY(%(accounts)s::uuid[])",
        accounts=accounts,
    )
    assert lines == len(model.lines)
