"""The split of a line between its partner and net revenue (spec 02 rule 1)."""

from __future__ import annotations

from typing import Final

from apportion_common.decimals import PERCENT_PLACES, round_half_away

FULL_PCT: Final = 100 * 10**PERCENT_PLACES
"""100 % as a scaled int at 4 places."""

_SHARE_PLACES: Final = PERCENT_PLACES + 2


def split(gross: int, pct: int) -> tuple[int, int]:
    """Return the partner's share and the net of a line: `gross` at 9 places, `pct` at 4 places (15 % is 150_000).

    The share is gross x pct rounded half away from zero at 9 places, the net is the rest, so that they always sum up.
    """
    if not pct:
        return 0, gross
    share = round_half_away(gross * pct, _SHARE_PLACES)
    return share, gross - share
