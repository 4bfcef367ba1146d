"""Access tokens: for a service account's key, and in exchange for an OIDC identity token."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from apportion_common.db.unit_of_work import Database, Transaction
from apportion_common.errors import PermissionDenied, Unauthenticated
from apportion_common.ids import uuid7
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_identity.app.credential_guards import IdTokenGuard, KeyGuard
from apportion_identity.app.id_tokens import IdTokens
from apportion_identity.app.signing_keys import SigningKeys
from apportion_identity.app.users import Users
from apportion_identity.domain.people import User
from apportion_identity.domain.roles import Role
from apportion_identity.domain.service_accounts import key_hash
from apportion_identity.domain.tokens import access_claims, service_account_subject, user_subject
from apportion_identity.limits import SERVICE_ACCOUNT_TOKEN_LIFE_S, USER_TOKEN_LIFE_S
from apportion_identity.store.members import MemberStore
from apportion_identity.store.service_accounts import ServiceAccountStore

_US_PER_S: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class TokenScope:
    """Who signs tokens, and for whom: what every verifier compares with."""

    issuer: str
    audience: str


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A token and its end."""

    token: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class ExchangedToken:
    """A user's token, and what the user acts as: in no organisation, there is no role."""

    issued: IssuedToken
    user_id: UUID
    org_id: UUID | None
    role: Role | None


class AccountTokens:
    """Tokens for service accounts' keys."""

    def __init__(
        self,
        database: Database,
        accounts: ServiceAccountStore,
        signing: SigningKeys,
        scope: TokenScope,
        guard: KeyGuard,
    ) -> None:
        """Look keys up in a store, and sign with these keys."""
        self._database = database
        self._accounts = accounts
        self._signing = signing
        self._scope = scope
        self._guard = guard

    async def issue(self, key: str, peer: str) -> IssuedToken:
        """Issue a token for a key that came from an address.

        The time is read before the account is: what a revocation finds issued already ends within the life from then.
        Unauthenticated KEY_INVALID, ResourceExhausted TOKEN_RATE_LIMITED, Unavailable KEY_SET_UNUSABLE.
        """
        now_s, digest = self._database.clock.now_us() // _US_PER_S, key_hash(key)
        async with self._guard.trying(peer, digest), self._database.read() as connection:
            account = await self._accounts.find_live_by_key(connection, digest)
            if account is None:
                raise Unauthenticated("KEY_INVALID", "The key is not valid.")
            subject = service_account_subject(account.account_id)
            self._guard.count(subject)
            claims = access_claims(
                issuer=self._scope.issuer,
                audience=self._scope.audience,
                subject=subject,
                roles=account.roles,
                issued_at_s=now_s,
                life_s=SERVICE_ACCOUNT_TOKEN_LIFE_S,
                token_id=uuid7(self._database.clock.now_us() * 1_000),
            )
            return _issued(await self._signing.sign(connection, claims), now_s + SERVICE_ACCOUNT_TOKEN_LIFE_S)


class UserTokens:
    """Tokens for users who signed in at a configured issuer."""

    def __init__(
        self,
        database: Database,
        id_tokens: IdTokens,
        users: Users,
        members: MemberStore,
        signing: SigningKeys,
        scope: TokenScope,
        guard: IdTokenGuard,
    ) -> None:
        """Know users and their memberships from here, and sign with these keys."""
        self._database = database
        self._id_tokens = id_tokens
        self._users = users
        self._members = members
        self._signing = signing
        self._scope = scope
        self._guard = guard

    async def exchange(self, id_token: str, nonce: str, org_id: UUID | None, peer: str) -> ExchangedToken:
        """Issue a token to whom an identity token names, in the organisation asked for, else the default, else none.

        Who signs in for the first time becomes a user. Errors: those of IdTokens.check; PermissionDenied NOT_A_MEMBER,
        ADDRESS_HELD; ResourceExhausted TOKEN_RATE_LIMITED; Unavailable KEY_SET_UNUSABLE.
        """
        now_s = self._database.clock.now_us() // _US_PER_S
        async with self._guard.trying(peer):
            signed_in = await self._id_tokens.check(id_token, nonce)

            async def work(tx: Transaction) -> ExchangedToken:
                user = await self._users.of_login(tx, signed_in.issuer, signed_in.subject, signed_in.email)
                org, role = await self._acting_in(tx.connection, user, org_id)
                claims = access_claims(
                    issuer=self._scope.issuer,
                    audience=self._scope.audience,
                    subject=user_subject(user.user_id),
                    roles=() if role is None else (role.value,),
                    issued_at_s=now_s,
                    life_s=USER_TOKEN_LIFE_S,
                    token_id=uuid7(tx.clock.now_us() * 1_000),
                    org_id=org,
                    amr=signed_in.amr,
                )
                token = await self._signing.sign(tx.connection, claims)
                return ExchangedToken(_issued(token, now_s + USER_TOKEN_LIFE_S), user.user_id, org, role)

            self._guard.count(f"{signed_in.issuer} {signed_in.subject}")
            return await self._database.run(work)

    async def _acting_in(
        self, connection: AsyncConnection, user: User, asked: UUID | None
    ) -> tuple[UUID | None, Role | None]:
        """Return the organisation that the token is for, and the user's role there by the memberships of now."""
        org_id = user.default_org_id if asked is None else asked
        role = None if org_id is None else await self._members.role(connection, org_id, user.user_id)
        if role is None and asked is not None:
            raise PermissionDenied("NOT_A_MEMBER", "The user is no member of this organisation.")
        return (org_id, role) if role is not None else (None, None)


def _issued(token: str, ends_s: int) -> IssuedToken:
    return IssuedToken(token, datetime.fromtimestamp(ends_s, UTC))
