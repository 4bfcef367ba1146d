"""Keeps the signing keys: a successor in time, and an end for those that nobody needs any more."""

from __future__ import annotations

import asyncio
import contextlib
import random

from apportion_common.faults import classify
from apportion_common.logs import get_logger

from apportion_identity.app.signing_keys import SigningKeys
from apportion_identity.limits import KEY_CHECK_S

log = get_logger(__name__)


class KeyKeeper:
    """Looks after the signing keys; several processes may, for each look is made under a lock."""

    def __init__(self, keys: SigningKeys) -> None:
        """Look after these keys."""
        self._keys = keys

    async def run(self, stop: asyncio.Event) -> None:
        """Look every KEY_CHECK_S until `stop` is set. A failure is logged and tried again: tokens are issued still."""
        while not stop.is_set():
            try:
                await self._keys.keep()
            except Exception as error:
                log.error(
                    "signing_keys_not_kept", fault=classify(error), error=f"{type(error).__name__}: {error}"[:300]
                )
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), KEY_CHECK_S * random.uniform(0.8, 1.0))
