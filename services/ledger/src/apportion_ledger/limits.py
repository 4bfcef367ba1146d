"""Every limit of the ledger service, with its unit in its name."""

from __future__ import annotations

from typing import Final

BATCH_LINES_MAX: Final = 4_000
"""Charges that one transaction of the poster takes: several messages of up to 1,000 while a lane lags."""
APPEND_ATTEMPTS_MAX: Final = 3
"""Attempts at a batch whose charge ids another transaction wrote meanwhile; each starts with a fresh probe."""
CONFLICT_DETAIL_CHARS_MAX: Final = 500
TIMELINES_CACHED_MAX: Final = 200_000
"""Timelines of attribution kept in memory; beyond them the cache starts again."""

PAYOUT_BATCH_SETTLEMENTS: Final = 500
"""Settlements handed to the payout provider at a time."""
PAYOUT_POLL_MS: Final = 500
"""Pause of the payout job after a round."""
PAYOUT_IDLE_POLL_MS: Final = 4_000
"""Longest pause of the payout job, to which it grows while nothing is pending."""
PAYOUT_RETRY_S: Final = 5
"""Pause of the payout job after a failure, and before a rejected payout is tried again."""
PAYOUT_REJECTIONS_MAX: Final = 5
"""Rejections after which a payout is void and its amount back in the balance."""
PAYOUT_AMOUNT_MAX: Final = 2**63 * 10**9 - 1
"""Largest payout, scaled by 9 places: what a Money holds. What a balance has beyond it is carried to the next week."""

DIGEST_PAGE_LINES: Final = 10_000
"""Line digests in one message of a stream."""
DIGEST_LINES_MAX: Final = 20_000_000
"""Lines that one digest or comparison covers; about 1 GB of digests."""
COARSE_KEYS_MAX: Final = 50_000
"""Gross sums that one answer lists; it stays below the largest message of a client."""
DIFFERENCES_MAX: Final = 1_000
"""Differing lines that one comparison names."""

SUMMARY_KEYS_MAX: Final = 300_000
"""Sums that one SummarizeLines answers; some 150 MB of memory while they are sent."""
SUMMARY_PAGE_SUMS: Final = 2_000
"""Sums in one message of a stream, some 600 KiB."""
SUMMARY_TIMEOUT_S: Final = 40
"""Longest statement that sums an account's lines; ten million take about 15 s."""
CHECK_EXAMPLES_MAX: Final = 20
"""Ids that CheckLedger names for each broken invariant."""
REPORT_TIMEOUT_S: Final = 300
"""Longest statement of a report over all lines."""

WATERMARK_WAIT_MS: Final = 8_000
"""Longest wait for the transactions in progress to end."""
WATERMARK_POLL_MS: Final = 20

PARTITION_MONTHS_AHEAD: Final = 3
"""Months for which partitions of ledger_line are kept ready beyond the current one."""
PARTITION_CHECK_S: Final = 6 * 3_600
PARTITION_RETRY_S: Final = 60
