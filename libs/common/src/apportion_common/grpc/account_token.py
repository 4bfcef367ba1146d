"""A program's own token: asked of identity for its service account's key, and asked for again before it ends.

    account = AccountToken(channel_to_identity, key_file, clock)
    await account.start()
    channels = Channels(settings, token_of=account.token)
    runtime.background("account_token", account.run)

The channel to identity itself carries no token: IssueToken is public, the key is the credential.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from pathlib import Path
from typing import Final

import grpc
from apportion.identity.v1 import identity_service_pb2 as pb
from apportion.identity.v1.identity_service_pb2_grpc import IdentityServiceStub

from apportion_common.clock import Clock
from apportion_common.errors import Unavailable
from apportion_common.grpc.status import error_of
from apportion_common.logs import get_logger

ASK_TIMEOUT_S: Final = 5
RETRY_S: Final = 1
"""After an attempt that failed, while the last token is still good."""
RENEW_AT: Final = 0.5
"""Of a token's life: there is time for several attempts before it ends."""
_US_PER_S: Final = 1_000_000

log = get_logger(__name__)


class AccountToken:
    """Keeps a service account's token fresh. The key is read from its file at each attempt, so it can be replaced."""

    def __init__(self, channel: grpc.aio.Channel, key_file: Path, clock: Clock) -> None:
        """Ask identity through a channel."""
        self._stub = IdentityServiceStub(channel)
        self._key_file = key_file
        self._clock = clock
        self._token = ""
        self._issued_us = 0
        self._ends_us = 0

    def token(self) -> str:
        """The token. Unavailable OWN_TOKEN_UNAVAILABLE when there is none that is still good."""
        if self._clock.now_us() >= self._ends_us:
            raise Unavailable("OWN_TOKEN_UNAVAILABLE", "This program has no token of its own just now.")
        return self._token

    async def start(self) -> None:
        """Get the first token. Raises OSError without a key, and the ApportionError that identity answers with."""
        key = (await asyncio.to_thread(self._key_file.read_text, "ascii")).strip()
        asked_us = self._clock.now_us()
        try:
            answer = await self._stub.IssueToken(pb.IssueTokenRequest(key=key), timeout=ASK_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise error_of(error) from None
        self._token, self._issued_us = answer.access_token, asked_us
        self._ends_us = answer.expires_at.seconds * _US_PER_S

    async def run(self, stop: asyncio.Event) -> None:
        """Renew the token at half its life until `stop` is set; a failure is tried again every second."""
        while not stop.is_set():
            renew_us = self._issued_us + (self._ends_us - self._issued_us) * RENEW_AT * random.uniform(0.9, 1.0)
            pause_s = max((renew_us - self._clock.now_us()) / _US_PER_S, 0)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), pause_s)
                return
            try:
                await self.start()
            except Exception as error:
                log.warning("own_token_not_renewed", error=type(error).__name__)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), RETRY_S)
