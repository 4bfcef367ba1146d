"""What tokens are issued by: signing keys and their seal, service accounts, and the issuers of identity tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from apportion_common.db.unit_of_work import Transaction
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_identity.app.ports.common import Place
from apportion_identity.domain.signing_keys import KeyTimes


@dataclass(frozen=True, slots=True)
class SigningKeyRecord:
    """A key that signs tokens: its times, its public half, and its private one sealed."""

    times: KeyTimes
    public_jwk: Mapping[str, str]
    sealed_private_key: bytes


class SigningKeyStore(Protocol):
    """Where signing keys are kept, for all processes of identity."""

    async def lock(self, tx: Transaction) -> None:
        """Be the only one who changes signing keys until the transaction ends."""
        ...

    async def all(self, connection: AsyncConnection) -> list[SigningKeyRecord]:
        """Every key."""
        ...

    async def add(self, tx: Transaction, key: SigningKeyRecord) -> None:
        """Add a key."""
        ...

    async def end(self, tx: Transaction, verify_until: Mapping[str, datetime]) -> None:
        """Say until when keys verify, by their ids."""
        ...

    async def remove(self, tx: Transaction, kids: Sequence[str]) -> None:
        """Remove keys for good."""
        ...


class UnsealError(Exception):
    """A sealed secret cannot be opened; the message names its owner and nothing of it."""


class Sealing(Protocol):
    """Seals secrets for the database."""

    def seal(self, secret: bytes, owner: str) -> bytes:
        """The secret of `owner`, as it may lie in the database."""
        ...

    def unseal(self, sealed: bytes, owner: str) -> bytes:
        """The secret. Raises UnsealError."""
        ...


@dataclass(frozen=True, slots=True)
class AccountRecord:
    """A service account, without its key."""

    account_id: UUID
    name: str
    roles: tuple[str, ...]
    created_by: str
    created_at: datetime
    revoked_at: datetime | None = None


class AccountStore(Protocol):
    """Where service accounts are kept."""

    async def add(self, tx: Transaction, account: AccountRecord, key_hash: bytes) -> bool:
        """Add an account; False when a live one has its name."""
        ...

    async def find(self, connection: AsyncConnection, account_id: UUID) -> AccountRecord | None:
        """The account with the id."""
        ...

    async def find_live_by_key(self, connection: AsyncConnection, key_hash: bytes) -> AccountRecord | None:
        """The account with that key; None for a revoked one too."""
        ...

    async def page(
        self, connection: AsyncConnection, *, include_revoked: bool, after: Place | None, limit: int
    ) -> list[AccountRecord]:
        """Accounts, newest first, from behind a place on."""
        ...

    async def revoke(self, tx: Transaction, account_id: UUID, at: datetime) -> bool:
        """Revoke an account; False when it was revoked already."""
        ...


@dataclass(frozen=True, slots=True)
class OidcIssuer:
    """Somebody whose identity tokens are believed: who, where its keys are, and what it calls us (client id).

    It is believed about addresses at `email_domains`, in the spelling of claims; None: about all.
    """

    issuer: str
    jwks_uri: str
    audience: str
    email_domains: tuple[str, ...] | None = None


IssuerPublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey


@dataclass(frozen=True, slots=True)
class IssuerKey:
    """A public key of an issuer, and the algorithms (RFC 7518) that it may be used with."""

    public_key: IssuerPublicKey
    algorithms: frozenset[str]


class IssuerKeys(Protocol):
    """The issuers that are configured, and their keys."""

    def find(self, issuer: str) -> OidcIssuer | None:
        """The issuer of that very name."""
        ...

    async def key(self, issuer: OidcIssuer, kid: str) -> IssuerKey | None:
        """A key of an issuer by its id; None when it has none. Unavailable ISSUER_UNAVAILABLE."""
        ...
