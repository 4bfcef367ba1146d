"""Balances of partners: the projections that each batch of lines moves, and the lock that orders payouts.

The order of locks: keys of charges, then balances by (partner, currency), then days and settlements, each kind in the
order of its keys. A transaction locks balances once, all that it needs, and changes none that it has not locked so: who
took them in two portions could hold a later one while it waits for an earlier one, in a circle with whoever holds that.

One caller takes balances before keys: the poster with a batch that it takes apart. It can meet in a circle only who
appends the very same charges at the same instant; the server ends one of the two, which is run again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from apportion_common.db.scaled import amount_of_scaled, scaled_sql
from apportion_common.db.unit_of_work import Transaction
from apportion_common.instants import date_of_day

from apportion_ledger import errors
from apportion_ledger.domain.posting import BalanceKey, DayTotal, RealTimePayout

BALANCE: Final = "earned - clawed_back - paid_real_time - paid_sweep"

_LOCK: Final = f"""
    SELECT b.partner_id, b.currency, {scaled_sql(BALANCE)} AS balance
    FROM partner_balance AS b
    JOIN unnest(CAST(%(partners)s AS uuid[]), CAST(%(currencies)s AS text[])) AS k (partner_id, currency)
        ON b.partner_id = k.partner_id AND b.currency = k.currency
    ORDER BY b.partner_id, b.currency COLLATE "C" FOR NO KEY UPDATE OF b
"""
_OPEN: Final = """
    INSERT INTO partner_balance (partner_id, currency)
    SELECT k.partner_id, k.currency FROM unnest(CAST(%(partners)s AS uuid[]), CAST(%(currencies)s AS text[]))
        AS k (partner_id, currency)
    ORDER BY k.partner_id, k.currency COLLATE "C"
    ON CONFLICT DO NOTHING
"""
_ADD: Final = """
    WITH moved AS (
        UPDATE partner_balance AS b
        SET earned = b.earned + k.earned, paid_real_time = b.paid_real_time + k.paid
        FROM unnest(CAST(%(partners)s AS uuid[]), CAST(%(currencies)s AS text[]), CAST(%(earned)s AS numeric[]),
            CAST(%(paid)s AS numeric[])) AS k (partner_id, currency, earned, paid)
        WHERE b.partner_id = k.partner_id AND b.currency = k.currency
    )
    INSERT INTO partner_day AS d (partner_id, currency, day, earned, paid_real_time, line_count, real_time_count)
    SELECT * FROM unnest(CAST(%(day_partners)s AS uuid[]), CAST(%(day_currencies)s AS text[]), CAST(%(days)s AS date[]),
        CAST(%(day_earned)s AS numeric[]), CAST(%(day_paid)s AS numeric[]), CAST(%(line_counts)s AS bigint[]),
        CAST(%(paid_counts)s AS bigint[]))
    ON CONFLICT (partner_id, currency, day) DO UPDATE SET
        earned = d.earned + excluded.earned,
        paid_real_time = d.paid_real_time + excluded.paid_real_time,
        line_count = d.line_count + excluded.line_count,
        real_time_count = d.real_time_count + excluded.real_time_count
"""
_PAYOUTS: Final = """
    INSERT INTO settlement (settlement_id, partner_id, kind, currency, amount, business_day, threshold,
        idempotency_key, entry_id)
    SELECT settlement_id, partner_id, 'real_time', currency, amount, business_day, threshold, key, entry_id
    FROM unnest(CAST(%(ids)s AS uuid[]), CAST(%(partners)s AS uuid[]), CAST(%(currencies)s AS text[]),
        CAST(%(amounts)s AS numeric[]), CAST(%(days)s AS date[]), CAST(%(thresholds)s AS numeric[]),
        CAST(%(keys)s AS text[]), CAST(%(entries)s AS uuid[]))
        AS p (settlement_id, partner_id, currency, amount, business_day, threshold, key, entry_id)
"""


class BalanceStore:
    """Balances of partners, locked and moved."""

    def __init__(self) -> None:
        self._stored: set[BalanceKey] = set()
        """Balances that are known to be committed."""

    async def lock(self, tx: Transaction, keys: Sequence[BalanceKey]) -> dict[BalanceKey, int]:
        """Lock the rows of sorted keys, opening those that are missing, and return their balances.

        Once in a transaction, for all that it may need; again only for keys that are locked already.
        """
        connection = await tx.raw()
        arrays = _key_arrays(keys)
        if not self._stored.issuperset(keys):
            # All rows are opened before any is locked. Were a missing row opened while others are locked, two could
            # wait for each other: one that locked a later row and opens an earlier one, and one that opened the
            # earlier row and locks the later.
            opened = await connection.execute(_OPEN, arrays)
            if not opened.rowcount:
                # None was missing, so all are committed, and no balance is ever deleted.
                self._stored.update(keys)
        rows = await (await connection.execute(_LOCK, arrays)).fetchall()
        if len(rows) < len(keys):
            # What a transaction had opened that was rolled back after it had locked them once more.
            self._stored.clear()
            raise errors.charges_contended()
        return {(partner_id.bytes, currency): int(balance) for partner_id, currency, balance in rows}

    async def apply(
        self, tx: Transaction, days: Mapping[tuple[bytes, str, int], DayTotal], payouts: Sequence[RealTimePayout]
    ) -> None:
        """Move the locked balances and their days, and write the payouts."""
        totals: defaultdict[BalanceKey, list[int]] = defaultdict(lambda: [0, 0])
        for (partner_id, currency, _), day_total in days.items():
            total = totals[partner_id, currency]
            total[0] += day_total.earned
            total[1] += day_total.paid_real_time
        ordered = sorted(days.items())
        connection = await tx.raw()
        await connection.execute(
            _ADD,
            {
                **_key_arrays(list(totals)),
                "earned": [amount_of_scaled(total[0]) for total in totals.values()],
                "paid": [amount_of_scaled(total[1]) for total in totals.values()],
                "day_partners": [UUID(bytes=key[0]) for key, _ in ordered],
                "day_currencies": [key[1] for key, _ in ordered],
                "days": [date_of_day(key[2]) for key, _ in ordered],
                "day_earned": [amount_of_scaled(total.earned) for _, total in ordered],
                "day_paid": [amount_of_scaled(total.paid_real_time) for _, total in ordered],
                "line_counts": [total.line_count for _, total in ordered],
                "paid_counts": [total.real_time_count for _, total in ordered],
            },
        )
        if payouts:
            await connection.execute(
                _PAYOUTS,
                {
                    "ids": [UUID(bytes=payout.settlement_id) for payout in payouts],
                    "partners": [UUID(bytes=payout.partner_id) for payout in payouts],
                    "currencies": [payout.currency for payout in payouts],
                    "amounts": [amount_of_scaled(payout.amount) for payout in payouts],
                    "days": [date_of_day(payout.day) for payout in payouts],
                    "thresholds": [amount_of_scaled(payout.threshold) for payout in payouts],
                    "keys": [str(UUID(bytes=payout.charge_id)) for payout in payouts],
                    "entries": [UUID(bytes=payout.entry_id) for payout in payouts],
                },
            )


def _key_arrays(keys: Sequence[BalanceKey]) -> dict[str, object]:
    return {"partners": [UUID(bytes=key[0]) for key in keys], "currencies": [key[1] for key in keys]}
