"""Rotates the signing keys: a successor in time, and an end for those that nobody needs any more."""

from __future__ import annotations

import asyncio
from typing import Final

from apportion_common.faults import classify
from apportion_common.logs import get_logger
from apportion_common.periodic import run_periodically

from apportion_identity.app.signing_keys import SigningKeys
from apportion_identity.limits import KEY_CHECK_S

_JITTER: Final = 0.2

log = get_logger(__name__)


class KeyRotationJob:
    """Rotates the signing keys when they are due; several processes may, for each look is made under a lock."""

    def __init__(self, keys: SigningKeys) -> None:
        """Rotate these keys."""
        self._keys = keys

    async def run(self, stop: asyncio.Event) -> None:
        """Look every KEY_CHECK_S until `stop` is set."""
        await run_periodically(self.round, KEY_CHECK_S, stop, jitter=_JITTER, on_failure=_log_failure)

    async def round(self) -> int:
        """Rotate the keys if it is time. Whatever fails is logged and tried again: tokens are issued still."""
        try:
            await self._keys.rotate_when_due()
        except Exception as error:
            _log_failure(error)
        return 0


def _log_failure(error: Exception) -> None:
    log.error("signing_keys_not_kept", fault=classify(error), error=f"{type(error).__name__}: {error}"[:300])
