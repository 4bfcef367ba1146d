"""A line may be billed in a later period than that of its event, and in no earlier one."""

from __future__ import annotations

from typing import Final

import psycopg
import pytest
from alembic import command
from apportion_dev.testing.databases import DatabaseFactory, fetch_all
from psycopg import errors

BEFORE: Final = "20261130_10_line_causes"
REVISION: Final = "20261130_11_billed_period"
INSERT: Final = """
    INSERT INTO ledger_line (entry_id, charge_id, event_id, kind, org_id, billing_account_id, mapping_id, sku, sku_type,
        quantity, amount_gross, partner_from_account, partner_pct, partner_amount, net, catalog_revision, orgs_revision,
        ledger_revision, event_time, content_hash, currency, period, billed_period)
    VALUES (gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'usage', gen_random_uuid(), gen_random_uuid(),
        gen_random_uuid(), 'ACT-SMS', 'action', 1, 1, false, 0, 0, 1, 0, 0, 0, '2013-01-02Z', sha256('x'), 'AUD',
        '2013-01', %s)
"""


def test_a_line_is_billed_in_its_own_period_or_a_later_one_and_the_way_back_refuses_late_lines(
    database_factory: DatabaseFactory,
) -> None:
    database = database_factory.blank("ledger")
    config = database_factory.alembic_config(database)
    command.upgrade(config, BEFORE)
    command.upgrade(config, REVISION)
    command.downgrade(config, BEFORE)
    command.upgrade(config, REVISION)
    with psycopg.connect(database.app_url, autocommit=True) as session:
        session.execute(INSERT, (None,))
        session.execute(INSERT, ("2013-02",))
        for billed_period in ("2013-01", "2012-12", "2013-2"):
            with pytest.raises(errors.CheckViolation):
                session.execute(INSERT, (billed_period,))
    with pytest.raises(Exception, match="billed in a later period"):
        command.downgrade(config, BEFORE)
    assert fetch_all(database.owner_url, "SELECT count(*) FROM ledger_line WHERE billed_period = '2013-02'") == [(1,)]
