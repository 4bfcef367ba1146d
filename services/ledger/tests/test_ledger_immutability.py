"""The database refuses to change what is written, whoever asks, on every partition."""

from __future__ import annotations

import psycopg
import pytest
from ledger_harness import LedgerHarness
from psycopg import errors

IMMUTABLE = (
    "ledger_line",
    "ledger_charge_key",
    "partner_tier",
    "commission_rate",
    "partner_of_record_version",
    "settlement_line",
    "sweep_run",
    "sweep_claim",
    "payout_instruction",
    "period_close",
    "statement",
    "audit_entry",
)
VALUES = """
    (entry_id, charge_id, event_id, kind, org_id, billing_account_id, mapping_id, sku, sku_type, quantity, currency,
     amount_gross, partner_from_account, partner_pct, partner_amount, net, catalog_revision, orgs_revision,
     ledger_revision, period, event_time, content_hash)
    VALUES (gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'usage', gen_random_uuid(), gen_random_uuid(),
     gen_random_uuid(), 'ACT-SMS', 'action', 1, 'AUD', {gross}, false, 0, 0, {net}, 0, 0, 0, '2013-01', '2013-01-02',
     sha256('x'))
"""


async def test_the_services_role_cannot_change_delete_or_truncate_lines(ledger: LedgerHarness) -> None:
    await ledger.charged(ledger.charge("3"))
    for statement in ("UPDATE ledger_line SET net = 0", "DELETE FROM ledger_line", "TRUNCATE ledger_line"):
        with pytest.raises(errors.InsufficientPrivilege):
            ledger.as_app(statement)


async def test_the_services_role_reaches_no_partition_directly(ledger: LedgerHarness) -> None:
    await ledger.parts.partitions.ensure()
    (month,) = ledger.as_owner("SELECT 'ledger_line_' || to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYYMM')")[0]
    for partition in (month, "ledger_line_default"):
        for statement in (f"SELECT FROM {partition}", f"INSERT INTO {partition} {VALUES.format(gross=1, net=1)}"):
            with pytest.raises(errors.InsufficientPrivilege):
                ledger.as_app(statement)


@pytest.mark.parametrize("where", ["parent", "month", "default"])
async def test_the_owner_cannot_change_delete_or_truncate_lines_either(ledger: LedgerHarness, where: str) -> None:
    if where == "month":
        await ledger.parts.partitions.ensure()
    await ledger.charged(ledger.charge("3"))
    ((home,),) = ledger.as_owner("SELECT tableoid::regclass::text FROM ledger_line")
    table = "ledger_line" if where == "parent" else home
    assert where == "parent" or (home == "ledger_line_default") == (where == "default")
    for statement in (f"UPDATE {table} SET sku = 'X'", f"DELETE FROM {table}", f"TRUNCATE {table}"):
        with pytest.raises(errors.RestrictViolation):
            ledger.as_owner(statement)
    assert ledger.as_owner("SELECT sku FROM ledger_line") == [("ACT-SMS",)]


async def test_the_triggers_of_every_partition_also_fire_in_replica_sessions(ledger: LedgerHarness) -> None:
    await ledger.parts.partitions.ensure()
    rows = ledger.as_owner(
        "SELECT c.relname, array_agg(t.tgenabled::text ORDER BY t.tgname) FROM pg_class AS c"
        " LEFT JOIN pg_trigger AS t ON t.tgrelid = c.oid"
        " WHERE c.relkind IN ('r', 'p') AND c.relname ~ '^ledger_line' GROUP BY c.relname"
    )
    assert len(rows) == 6
    assert {name: enabled for name, enabled in rows if enabled != ["A", "A"]} == {}


@pytest.mark.parametrize("table", IMMUTABLE)
async def test_every_append_only_table_refuses_its_owner(ledger: LedgerHarness, table: str) -> None:
    with pytest.raises(errors.RestrictViolation):
        ledger.as_owner(f"TRUNCATE {table} CASCADE")
    (column,) = ledger.as_owner(
        f"SELECT attname FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum = 1"
    )[0]
    with pytest.raises(errors.InsufficientPrivilege):
        ledger.as_app(f"UPDATE {table} SET {column} = {column}")
    with pytest.raises(errors.InsufficientPrivilege):
        ledger.as_app(f"DELETE FROM {table}")


async def test_a_settlement_only_goes_from_pending_to_its_end(ledger: LedgerHarness) -> None:
    await ledger.credited()
    await ledger.charged(ledger.charge("60"))
    for change in ("amount = 7", "partner_id = gen_random_uuid()", "idempotency_key = 'x'"):
        with pytest.raises(errors.RestrictViolation):
            ledger.as_app(f"UPDATE settlement SET {change}")
    ledger.as_app("UPDATE settlement SET state = 'paid', decided_at = now()")
    for change in ("state = 'pending', decided_at = NULL", "state = 'void', void_reason = 'x'"):
        with pytest.raises(errors.RestrictViolation):
            ledger.as_app(f"UPDATE settlement SET {change}")
    with pytest.raises(errors.RestrictViolation):
        ledger.as_owner("DELETE FROM settlement")


@pytest.mark.parametrize(("gross", "net"), [("10", "9"), ("'NaN'", "'NaN'"), ("'Infinity'", "1"), ("1", "1.000000001")])
async def test_a_line_that_does_not_balance_is_rejected_on_parent_and_partitions(
    ledger: LedgerHarness, gross: str, net: str
) -> None:
    await ledger.parts.partitions.ensure()
    rejections: tuple[type[psycopg.Error], ...] = (errors.CheckViolation, errors.NumericValueOutOfRange)
    for table in ("ledger_line", "ledger_line_default"):
        with pytest.raises(rejections):
            ledger.as_owner(f"INSERT INTO {table} {VALUES.format(gross=gross, net=net)}")


async def test_lines_land_in_their_month_and_without_one_in_the_default(ledger: LedgerHarness) -> None:
    await ledger.charged(ledger.charge("1"))
    assert ledger.as_owner("SELECT tableoid::regclass::text FROM ledger_line") == [("ledger_line_default",)]


async def test_months_are_kept_ahead_and_adding_them_again_changes_nothing(ledger: LedgerHarness) -> None:
    await ledger.parts.partitions.ensure()
    query = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'ledger_line'::regclass"
    assert ledger.as_owner(query) == [(5,)]
    await ledger.parts.partitions.ensure()
    assert ledger.as_owner(query) == [(5,)]
    await ledger.charged(ledger.charge("1"))
    ((home,),) = ledger.as_owner("SELECT tableoid::regclass::text FROM ledger_line")
    assert home != "ledger_line_default"
