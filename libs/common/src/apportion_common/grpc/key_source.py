"""Keys that a service publishes over the network: polled, kept while it is away, and asked for when one is not known.

    source = KeySource(keys_of_identity(channels.channel(settings.address_of("identity"))))
    verifier.trust(source)
    runtime.background("token_keys", source.run)

A rotated key is learnt by the next poll, long before it signs. A token with a key id that nobody knows asks once more,
so that a key made a moment ago works at once; but whoever invents key ids gets no more than one request a second out
of the process, however many calls carry them, and no call waits longer than a second for its outcome.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping

import grpc
from apportion.identity.v1 import identity_service_pb2 as pb
from apportion.identity.v1.identity_service_pb2_grpc import IdentityServiceStub
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from apportion_common.backoff import Backoff, until_stopped
from apportion_common.grpc import limits
from apportion_common.grpc.jwks import parse_jwks
from apportion_common.logs import get_logger

FetchKeys = Callable[[], Awaitable[str]]
"""Returns a JSON Web Key Set as text; whatever it raises counts as a source that is away."""

log = get_logger(__name__)


def keys_of_identity(channel: grpc.aio.Channel) -> FetchKeys:
    """Ask identity's GetJwks through a channel."""
    stub = IdentityServiceStub(channel)

    async def fetch() -> str:
        answer = await stub.GetJwks(pb.GetJwksRequest(), timeout=limits.KEY_FETCH_TIMEOUT_S)
        return answer.jwks_json

    return fetch


class KeySource:
    """Published keys, as they were last seen."""

    def __init__(self, fetch: FetchKeys, *, poll_s: float = limits.KEY_POLL_S) -> None:
        """Know no key yet; `run` or the first unknown key id asks for them."""
        self._fetch = fetch
        self._poll_s = poll_s
        self._keys: Mapping[str, Ed25519PublicKey] = {}
        self._refreshing: asyncio.Task[bool] | None = None
        self._asked_at_s: float | None = None
        self._waiting = 0
        self.revision = 0
        """Counts up whenever the keys change."""
        self.is_current = False
        """Whether the last attempt to ask succeeded; before the first one it is False."""

    @property
    def keys(self) -> Mapping[str, Ed25519PublicKey]:
        """The keys by their ids."""
        return self._keys

    async def learn(self, kid: str) -> None:
        """Ask for the keys because one is not known, within the bounds that the module's text names.

        Returns when the outcome is there; when it is not to be had within those bounds, at once or after the wait.
        """
        if self._waiting >= limits.KEY_WAITERS_MAX:
            return
        loop = asyncio.get_running_loop()
        if self._refreshing is None:
            if self._asked_at_s is not None and loop.time() - self._asked_at_s < limits.KEY_ASK_PAUSE_S:
                return
            log.info("token_key_unknown", kid=kid[: limits.KID_CHARS_MAX])
        self._waiting += 1
        try:
            await asyncio.wait({self._refresh_task()}, timeout=limits.KEY_WAIT_S)
        finally:
            self._waiting -= 1

    async def refresh(self) -> bool:
        """Ask for the keys now, or join who is asking; whether that succeeded. What was known stays when it fails."""
        return await asyncio.shield(self._refresh_task())

    async def run(self, stop: asyncio.Event) -> None:
        """Keep the keys current until `stop` is set; a failure is tried again sooner than the next poll."""
        failures = 0
        sleep = until_stopped(stop)
        retry_max_s = min(limits.KEY_RETRY_MAX_S, self._poll_s)
        backoff = Backoff(min(limits.KEY_RETRY_FIRST_S, retry_max_s), retry_max_s, sleep=sleep)
        while not stop.is_set():
            if await self.refresh():
                failures = 0
                # Processes that started together do not go on asking together.
                await sleep(self._poll_s * random.uniform(0.8, 1.0))
            else:
                failures += 1
                await backoff.wait(failures)

    def _refresh_task(self) -> asyncio.Task[bool]:
        """Return the one request that is under way."""
        if self._refreshing is None:
            self._refreshing = asyncio.create_task(self._ask(), name="token_keys_refresh")
            self._refreshing.add_done_callback(self._asked)
        return self._refreshing

    def _asked(self, task: asyncio.Task[bool]) -> None:
        self._refreshing = None
        self._asked_at_s = task.get_loop().time()

    async def _ask(self) -> bool:
        try:
            async with asyncio.timeout(limits.KEY_FETCH_TIMEOUT_S):
                keys = parse_jwks(await self._fetch(), "The published key set")
        except Exception as error:  # Whatever a source trips over: what was known goes on being good.
            if self.is_current or self._asked_at_s is None:
                log.warning("token_keys_not_fetched", error=type(error).__name__, kept=len(self._keys))
            self.is_current = False
            return False
        if _bytes_of(keys) != _bytes_of(self._keys):
            self._keys = keys
            self.revision += 1
            log.info("token_keys_fetched", kids=sorted(keys))
        self.is_current = True
        return True


def _bytes_of(keys: Mapping[str, Ed25519PublicKey]) -> dict[str, bytes]:
    return {kid: key.public_bytes_raw() for kid, key in keys.items()}
