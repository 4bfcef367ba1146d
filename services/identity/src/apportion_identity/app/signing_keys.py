"""The keys that sign tokens: made, published, used, succeeded and removed; the same for every process of identity."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final, TypeVar

import jwt
from apportion_common.db.idempotency import Mutation, run_mutation
from apportion_common.db.unit_of_work import Database, Transaction
from apportion_common.errors import Unavailable
from apportion_common.logs import get_logger
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from google.protobuf.message import Message
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_identity.adapters.sealing import SealingKeys, UnsealError
from apportion_identity.domain.key_set import public_key_set
from apportion_identity.domain.signing_keys import (
    KeyTimes,
    SigningKey,
    is_due,
    is_over,
    published_at,
    signing_at,
    succeed,
)
from apportion_identity.limits import KEY_AGE_DAYS, KEY_PUBLISH_LEAD_S, KEY_SET_CACHE_MS, KEY_TAIL_S, KEYS_MAX
from apportion_identity.store.signing_keys import SigningKeyStore

ALGORITHM: Final = "EdDSA"
_US_PER_MS: Final = 1_000

Answer = TypeVar("Answer", bound=Message)

log = get_logger(__name__)


class SigningKeys:
    """Sign tokens with the key whose turn it is, and publish the public halves.

    Which key signs is read from the database at each signature: a process that cannot see its keys signs nothing, so
    none goes on with a key whose time is over.
    """

    def __init__(self, database: Database, store: SigningKeyStore, sealing: SealingKeys) -> None:
        """Keep the keys in a store, their private halves sealed."""
        self._database = database
        self._clock = database.clock
        self._store = store
        self._sealing = sealing
        self._opened: dict[str, Ed25519PrivateKey] = {}
        self._published: tuple[int, str] | None = None
        self._publishing = asyncio.Lock()

    async def ensure_first(self) -> None:
        """Make the first key if there is none, and see that the one that signs can be opened.

        Unavailable KEY_SET_UNUSABLE when it cannot: the process was given another key encryption key.
        """

        async def work(tx: Transaction) -> None:
            await self._store.lock(tx)
            keys = await self._store.all(tx.connection)
            if not keys:
                await self._add(tx, keys, "the first key")

        await self._database.run(work)
        async with self._database.read() as connection:
            await self.sign(connection, {})

    async def rotate(self, mutation: Mutation[KeyTimes, Answer], reason: str) -> Answer:
        """Make a new key, published now and signing after the lead; FailedPrecondition ROTATION_IN_PROGRESS."""

        async def work(tx: Transaction) -> KeyTimes:
            await self._store.lock(tx)
            return await self._add(tx, await self._store.all(tx.connection), reason)

        return await run_mutation(self._database, mutation, work)

    async def replace_leaked(self, mutation: Mutation[KeyTimes, Answer], reason: str) -> Answer:
        """Make a key that signs at once, and remove all others, for somebody else may have them.

        Who verifies drops them when it next looks (every 30 s), or meets a token of the new one; then good tokens of
        theirs are rejected too, and their holders need others.
        """

        async def work(tx: Transaction) -> KeyTimes:
            await self._store.lock(tx)
            await self._remove(tx, sorted(key.times.kid for key in await self._store.all(tx.connection)))
            return await self._add(tx, (), reason)

        return await run_mutation(self._database, mutation, work)

    async def rotate_when_due(self) -> None:
        """Make a successor of a key that has signed long enough, and remove those whose last token is gone."""

        async def work(tx: Transaction) -> None:
            await self._store.lock(tx)
            keys = await self._store.all(tx.connection)
            now = self._clock.now()
            if is_due([key.times for key in keys], now, timedelta(days=KEY_AGE_DAYS)):
                await self._add(tx, keys, f"after {KEY_AGE_DAYS} days")
            over = sorted(key.times.kid for key in keys if is_over(key.times, now))
            if over:
                await self._remove(tx, over)

        await self._database.run(work)

    async def key_set(self) -> str:
        """Return the public halves as a JSON Web Key Set; at most a second old. Unavailable KEY_SET_UNUSABLE."""
        # One at a time: whoever asks for it while it is read gets what is read.
        async with self._publishing:
            now_us = self._clock.now_us()
            if self._published is None or not 0 <= now_us - self._published[0] < KEY_SET_CACHE_MS * _US_PER_MS:
                self._published = (now_us, await self._read_key_set())
            return self._published[1]

    async def sign(self, connection: AsyncConnection, claims: Mapping[str, object]) -> str:
        """Return the claims as a token (JWT) of the key whose turn it is. Unavailable KEY_SET_UNUSABLE."""
        keys = {key.times.kid: key for key in await self._store.all(connection)}
        times = signing_at([key.times for key in keys.values()], self._clock.now())
        if times is None:
            raise Unavailable("KEY_SET_UNUSABLE", "There is no key that signs tokens.")
        private = self._open(keys[times.kid])
        self._opened = {kid: key for kid, key in self._opened.items() if kid in keys}
        return jwt.encode(dict(claims), private, algorithm=ALGORITHM, headers={"kid": times.kid})

    async def _read_key_set(self) -> str:
        async with self._database.read() as connection:
            keys = {key.times.kid: key for key in await self._store.all(connection)}
        shown = published_at([key.times for key in keys.values()], self._clock.now())
        return public_key_set(json.dumps({"keys": [dict(keys[times.kid].public_jwk) for times in shown]}), KEYS_MAX)

    async def _remove(self, tx: Transaction, kids: Sequence[str]) -> None:
        await self._store.remove(tx, kids)
        for kid in kids:
            await tx.audit("signing_key.remove", f"signing_key/{kid}", before={"kid": kid})

    async def _add(self, tx: Transaction, keys: Sequence[SigningKey], reason: str) -> KeyTimes:
        """Make a key and record when those before it end. FailedPrecondition ROTATION_IN_PROGRESS."""
        now = self._clock.now()
        succession = succeed(
            [key.times for key in keys],
            now,
            lead=timedelta(seconds=KEY_PUBLISH_LEAD_S),
            token_life=timedelta(seconds=KEY_TAIL_S),
        )
        private = Ed25519PrivateKey.generate()
        public_jwk = _public_jwk(private)
        kid = public_jwk["kid"]
        times = KeyTimes(kid, now, succession.signs_from)
        sealed = self._sealing.seal(private.private_bytes_raw(), kid)
        await self._store.end(tx, succession.verify_until)
        await self._store.add(tx, SigningKey(times, public_jwk, sealed))
        await tx.audit(
            "signing_key.create",
            f"signing_key/{kid}",
            after={
                "kid": kid,
                "signs_from": times.signs_from,
                "reason": reason,
                "succeeds": list(succession.verify_until),
            },
        )
        log.info("signing_key_made", kid=kid, signs_from=times.signs_from.isoformat())
        return times

    def _open(self, key: SigningKey) -> Ed25519PrivateKey:
        kid = key.times.kid
        if kid not in self._opened:
            try:
                raw = self._sealing.unseal(key.sealed_private_key, kid)
            except UnsealError as error:
                log.error("signing_key_not_opened", kid=kid)
                raise Unavailable("KEY_SET_UNUSABLE", "The key that signs tokens cannot be opened.") from error
            self._opened[kid] = Ed25519PrivateKey.from_private_bytes(raw)
        return self._opened[kid]


def _public_jwk(private: Ed25519PrivateKey) -> dict[str, str]:
    """Return the public half as a JSON Web Key (RFC 8037), its id the thumbprint (RFC 7638)."""
    x = _base64url(private.public_key().public_bytes_raw())
    canonical = json.dumps({"crv": "Ed25519", "kty": "OKP", "x": x}, separators=(",", ":"))
    kid = _base64url(hashlib.sha256(canonical.encode("ascii")).digest())
    return {"kty": "OKP", "crv": "Ed25519", "x": x, "kid": kid, "use": "sig", "alg": ALGORITHM}


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")
