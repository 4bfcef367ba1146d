"""The trial balance, and the invariants with what breaks them."""

from __future__ import annotations

import pytest
from apportion.ledger.v1 import ledger_service_pb2 as pb
from ledger_harness import CONTEXT, UNIT, LedgerHarness, scaled


async def test_the_trial_balance_is_zero_per_currency_at_every_step(ledger: LedgerHarness) -> None:
    async def balanced() -> dict[tuple[str, str], tuple[int, int]]:
        response = await ledger.rpc.GetTrialBalance(pb.GetTrialBalanceRequest(), CONTEXT)
        assert response.balanced
        return {
            (row.account, row.currency): (scaled(row.debit.value), scaled(row.credit.value)) for row in response.rows
        }

    assert await balanced() == {}
    await ledger.credited("10")
    await ledger.charged(ledger.charge("60"), ledger.charge("-2"), ledger.charge("1000", currency="JPY"))
    await balanced()
    await ledger.sweep("2013-W01")
    rows = await balanced()
    assert rows["receivable", "AUD"] == (60 * UNIT, 2 * UNIT)
    assert rows["partner_payable", "AUD"] == (scaled("6.2"), scaled("6"))
    assert rows["cash", "AUD"] == (0, scaled("6"))
    assert ("cash", "JPY") not in rows


BREACHES = {
    "gross_is_partner_plus_net": """
        ALTER TABLE ledger_line DROP CONSTRAINT ck_ledger_line_balanced;
        UPDATE ledger_line SET net = net + 1 WHERE seq = {seq}
    """,
    "partner_share_is_rate_of_gross": """
        UPDATE ledger_line SET net = net - 1, partner_amount = partner_amount + 1 WHERE seq = {seq}
    """,
    "content_matches_hash": "UPDATE ledger_line SET quantity = quantity + 1 WHERE seq = {seq}",
    "every_charge_key_has_one_line": "DELETE FROM ledger_line WHERE seq = {seq}",
    "every_line_has_its_charge_key": """
        DELETE FROM ledger_charge_key AS k USING ledger_line AS l WHERE k.charge_id = l.charge_id AND l.seq = {seq}
    """,
    "every_line_has_a_known_partner": "UPDATE ledger_line SET partner_id = gen_random_uuid() WHERE seq = {seq}",
    "balances_equal_lines_and_payouts": "UPDATE partner_balance SET earned = earned + 1",
    "days_equal_lines_and_payouts": "UPDATE partner_day SET line_count = line_count + 1",
    "real_time_payouts_follow_their_lines": "UPDATE settlement SET amount = amount + 1 WHERE kind = 'real_time'",
    "sweeps_equal_their_claims": "UPDATE settlement SET amount = amount + 1 WHERE kind = 'sweep'",
    "paid_settlements_were_instructed_once": "DELETE FROM payout_instruction",
    "each_line_is_in_one_sweep_at_most": """
        INSERT INTO settlement_line (entry_id, settlement_id)
        SELECT a.entry_id, s.settlement_id FROM settlement_line AS a, settlement AS s WHERE s.kind = 'real_time'
    """,
    "swept_lines_are_the_partners_own": """
        UPDATE ledger_line SET partner_id = NULL, partner_pct = 0, partner_amount = 0, net = amount_gross
        WHERE seq = {seq}
    """,
    "lanes_stand_at_or_after_their_lines": "UPDATE lane SET pos = 0",
    "receipts_have_no_gaps": """
        INSERT INTO lane_outbox (role, lane, pos, subject, payload, part, part_count)
        VALUES ('ledger_poster', 1, 1, 's', '', 0, 2), ('ledger_poster', 1, 1, 's', '', 1, 2),
            ('ledger_poster', 1, 3, 's', '', 0, 1)
    """,
    "one_partner_of_record_at_a_time": """
        ALTER TABLE partner_of_record DROP CONSTRAINT ex_partner_of_record_overlap;
        INSERT INTO partner_of_record (por_id, subject_type, subject_id, partner_id, start_at)
        SELECT gen_random_uuid(), subject_type, subject_id, partner_id, start_at FROM partner_of_record
    """,
    "postings_sum_to_zero": """
        ALTER TABLE ledger_line DROP CONSTRAINT ck_ledger_line_balanced;
        UPDATE ledger_line SET amount_gross = amount_gross + 1 WHERE seq = {seq}
    """,
}


@pytest.mark.parametrize("name", BREACHES)
async def test_check_ledger_names_a_planted_breach(ledger: LedgerHarness, name: str) -> None:
    await ledger.credited("10")
    charge = ledger.charge("60")
    await ledger.charged(ledger.charge("3"), charge, ledger.charge("4"))
    await ledger.sweep("2013-W01")
    await ledger.parts.payouts.settle_pending()
    assert not await ledger.breaches()
    tables = ledger.as_owner("SELECT DISTINCT tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal")
    ledger.as_owner(
        *(f"ALTER TABLE {table} DISABLE TRIGGER USER" for (table,) in tables),
        BREACHES[name].format(seq=charge.entry_seq),
    )
    found = await ledger.breaches()
    assert found[name]
