"""What the use cases need of the world."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol
from uuid import UUID

from apportion.common.v1.audit_pb2 import AuditEntry, AuditQuery
from apportion_common.db.unit_of_work import Transaction
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_identity.domain.claim_states import ClaimStatus
from apportion_identity.domain.claims import Standing, delegations_of
from apportion_identity.domain.coverage import CoveringClaim
from apportion_identity.domain.invitation import Ends
from apportion_identity.domain.mail.types import Answer, Question
from apportion_identity.domain.roles import Role
from apportion_identity.domain.signing_keys import KeyTimes

IssuerPublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey


class AuditTrail(Protocol):
    """The service's audit entries."""

    async def page(self, query: AuditQuery) -> tuple[list[AuditEntry], str]:
        """Entries, newest first, and the token of the next page (empty after the last)."""
        ...


class DnsPort(Protocol):
    """The DNS, asked many questions at once."""

    async def ask(self, questions: Iterable[Question]) -> dict[Question, Answer]:
        """An answer to each question. Failures are answers too (servfail, timeout): nothing is raised for them."""
        ...


class RateLimiter(Protocol):
    """Tries of one kind, counted per key."""

    def take(self, key: str, *, reason: str) -> None:
        """Take one try of `key`. Raises ResourceExhausted `reason` when none is left."""
        ...


@dataclass(frozen=True, slots=True)
class UserRecord:
    """A person who can sign in; the address is normalised."""

    user_id: UUID
    email: str
    default_org_id: UUID | None


@dataclass(frozen=True, slots=True)
class MemberRecord:
    """An active member of an organisation."""

    org_id: UUID
    user_id: UUID
    email: str
    role: Role


@dataclass(frozen=True, slots=True)
class InvitationRecord:
    """An address asked into an organisation; `invited_by` is None when the platform asked."""

    invitation_id: UUID
    org_id: UUID
    email: str
    role: Role
    ends: Ends
    created_at: datetime
    invited_by: UUID | None


@dataclass(frozen=True, slots=True)
class JoinRequestRecord:
    """A person who asks to join; `user_id` is None for who has never signed in. `state` as the database names it."""

    request_id: UUID
    org_id: UUID
    user_id: UUID | None
    email: str
    state: str
    created_at: datetime
    decided_at: datetime | None
    decided_by: str


@dataclass(frozen=True, slots=True)
class SettingRow:
    """A global setting that was set once."""

    key: str
    value: str
    updated_at: datetime


Place = tuple[datetime, UUID]
"""Where a page of a list that is newest first goes on: the last row's time and id."""


class MemberStore(Protocol):
    """Users and who is a member of what."""

    async def lock_memberships(self, tx: Transaction, org_id: UUID) -> None:
        """Let nobody else change the organisation's memberships until the transaction ends."""
        ...

    async def user(self, connection: AsyncConnection, user_id: UUID) -> UserRecord | None:
        """The user with the id."""
        ...

    async def user_of_address(self, connection: AsyncConnection, email: str) -> UserRecord | None:
        """The user with the normalised address."""
        ...

    async def user_of_login(self, connection: AsyncConnection, issuer: str, subject: str) -> UserRecord | None:
        """Who signs in at the issuer as that subject."""
        ...

    async def has_login_at(self, connection: AsyncConnection, user_id: UUID, issuer: str) -> bool:
        """Whether the user signs in at the issuer, under any subject."""
        ...

    async def add_user(self, tx: Transaction, user: UserRecord) -> bool:
        """Add a user; False when the address was taken meanwhile."""
        ...

    async def lock_user(self, tx: Transaction, user_id: UUID) -> None:
        """Let nobody else give the user a login until the transaction ends."""
        ...

    async def add_login(self, tx: Transaction, issuer: str, subject: str, user_id: UUID) -> bool:
        """Remember how a user signs in; False when that login was taken meanwhile."""
        ...

    async def set_default_org(self, tx: Transaction, user_id: UUID, before: UUID | None, after: UUID | None) -> None:
        """Change the organisation that a user acts in when none is named, if it is `before` still."""
        ...

    async def role(self, connection: AsyncConnection, org_id: UUID, user_id: UUID) -> Role | None:
        """The user's role as an active member."""
        ...

    async def hold_role(self, tx: Transaction, org_id: UUID, user_id: UUID) -> Role | None:
        """As `role`; and the membership does not change until the transaction ends."""
        ...

    async def member(self, connection: AsyncConnection, org_id: UUID, user_id: UUID) -> MemberRecord | None:
        """The active member."""
        ...

    async def count_owners(self, connection: AsyncConnection, org_id: UUID) -> int:
        """How many active Owners the organisation has."""
        ...

    async def put_member(self, tx: Transaction, org_id: UUID, user_id: UUID, role: Role) -> None:
        """Make a user an active member with a role."""
        ...

    async def set_role(self, tx: Transaction, org_id: UUID, user_id: UUID, role: Role) -> None:
        """Change a member's role."""
        ...

    async def remove_member(self, tx: Transaction, org_id: UUID, user_id: UUID) -> None:
        """End a membership."""
        ...

    async def members(
        self, connection: AsyncConnection, org_id: UUID, after: UUID | None, count: int
    ) -> Sequence[MemberRecord]:
        """Active members by user id, from behind `after` on, at most `count`."""
        ...


class InvitationStore(Protocol):
    """Invitations and how many there were on a day."""

    async def revoke_expired(self, tx: Transaction, org_id: UUID, email: str, now: datetime) -> Sequence[UUID]:
        """Revoke what has expired of an address, so that it can be invited again; gives the ids."""
        ...

    async def add_invitation(self, tx: Transaction, new: InvitationRecord, token_hash: bytes) -> bool:
        """Add an invitation; False when the address has a live one in the organisation."""
        ...

    async def count_invitation(self, tx: Transaction, org_id: UUID, day: date, limit: int) -> bool:
        """Count one more invitation of a day; False, and nothing is counted, when `limit` is reached."""
        ...

    async def hold_by_hash(self, tx: Transaction, token_hash: bytes) -> tuple[InvitationRecord, bytes] | None:
        """The invitation whose token has the hash, and the hash that is kept; held until the transaction ends."""
        ...

    async def hold_invitation(self, tx: Transaction, org_id: UUID, invitation_id: UUID) -> InvitationRecord | None:
        """The organisation's invitation with the id, held until the transaction ends."""
        ...

    async def end_invitation(self, tx: Transaction, ended: InvitationRecord) -> None:
        """Write down how the invitation ended."""
        ...

    async def invitations(
        self, connection: AsyncConnection, org_id: UUID, live_at: datetime | None, after: Place | None, count: int
    ) -> Sequence[InvitationRecord]:
        """Invitations, newest first, from behind `after` on, at most `count`; only those live at `live_at`."""
        ...


class JoinRequestStore(Protocol):
    """Who asks to join, and whose domain an address belongs to."""

    async def covering_claims(self, connection: AsyncConnection, domain: str) -> Sequence[CoveringClaim]:
        """The verified claims of a domain and of the names above it."""
        ...

    async def add_join_request(self, tx: Transaction, request: JoinRequestRecord) -> bool:
        """Add a request of a user; False when a pending one is there."""
        ...

    async def hold_join_request(self, tx: Transaction, org_id: UUID, request_id: UUID) -> JoinRequestRecord | None:
        """The organisation's request with the id, held until the transaction ends."""
        ...

    async def decide_join_request(self, tx: Transaction, request: JoinRequestRecord) -> None:
        """Write down what was decided."""
        ...

    async def join_requests(
        self, connection: AsyncConnection, org_id: UUID, pending_only: bool, after: Place | None, count: int
    ) -> Sequence[JoinRequestRecord]:
        """Requests, newest first, from behind `after` on, at most `count`."""
        ...


class SettingStore(Protocol):
    """The global settings that were set."""

    async def all_settings(self, connection: AsyncConnection) -> Mapping[str, SettingRow]:
        """Every setting that was set once, by its key."""
        ...

    async def hold_setting(self, tx: Transaction, key: str) -> SettingRow | None:
        """The setting, if it was set; nobody else sets it until the transaction ends."""
        ...

    async def put_setting(self, tx: Transaction, row: SettingRow, value_type: str) -> None:
        """Set a setting."""
        ...


class ClaimMoved(Exception):
    """Another transaction changed a claim meanwhile, or took its name: decide again on what is there now."""


@dataclass(frozen=True, slots=True)
class ClaimRecord:
    """A domain claim as it is stored. `contested`: an open conflict stands between it and another claim."""

    claim_id: UUID
    org_id: UUID
    domain: str
    status: ClaimStatus
    created_by: str
    created_at: datetime
    token_hash: bytes | None = None
    token_expires_at: datetime | None = None
    verified_at: datetime | None = None
    proved_at: datetime | None = None
    proof: Mapping[str, object] | None = None
    wildcard: bool = False
    contested: bool = False

    def standing(self) -> Standing:
        """What of it decides whose way it stands in."""
        return Standing(self.claim_id, self.org_id, self.domain, self.status, self.wildcard, delegations_of(self.proof))


@dataclass(frozen=True, slots=True)
class ConflictRecord:
    """Two claims of which one can stand: the newcomer's, and the one that was there."""

    conflict_id: UUID
    claim_id: UUID
    against_claim_id: UUID
    state: str
    opened_at: datetime
    due_at: datetime
    escalated_at: datetime | None = None
    escalations: int = 0
    resolution: str = ""
    resolved_by: str = ""
    resolved_at: datetime | None = None

    def other(self, claim_id: UUID) -> UUID:
        """The claim on the other side of one of the two."""
        return self.against_claim_id if claim_id == self.claim_id else self.claim_id


@dataclass(frozen=True, slots=True)
class Attempt:
    """A message that named a claim, and what became of it."""

    verification_id: UUID
    claim_id: UUID
    proof_hash: bytes
    reason: str
    accepted: bool
    at: datetime


class RuntimeSettings(Protocol):
    """Values that operators change at run time; read them before a transaction, for they may take a connection."""

    async def get_int(self, key: str) -> int:
        """The number under a known key."""
        ...

    async def get_list(self, key: str) -> Sequence[str]:
        """The items under a known key."""
        ...


class ClaimStore(Protocol):
    """domain_claim, claim_verification and their locks."""

    async def lock_domain(self, tx: Transaction, registrable: str) -> None:
        """Hold every claim at or below a registrable domain until the transaction ends."""
        ...

    async def lock_org(self, tx: Transaction, org_id: UUID) -> None:
        """Hold an organisation's count of claims until the transaction ends; taken before any domain."""
        ...

    async def find_claim(self, connection: AsyncConnection, claim_id: UUID) -> ClaimRecord | None:
        """The claim with the id."""
        ...

    async def claims_of_ids(self, connection: AsyncConnection, ids: Collection[UUID]) -> Mapping[UUID, ClaimRecord]:
        """The claims with the ids, by id."""
        ...

    async def of_tokens(self, connection: AsyncConnection, hashes: Sequence[bytes]) -> Sequence[ClaimRecord]:
        """The claims that these hashes of tokens belong to."""
        ...

    async def live_of_org(self, connection: AsyncConnection, org_id: UUID, domain: str) -> ClaimRecord | None:
        """The organisation's claim of that very name that is not revoked."""
        ...

    async def holders(self, connection: AsyncConnection, domain: str, org_id: UUID) -> Sequence[ClaimRecord]:
        """Claims of other organisations, pending or verified, of the name or with a wildcard above it."""
        ...

    async def held_below(self, connection: AsyncConnection, domain: str, org_id: UUID) -> Sequence[ClaimRecord]:
        """Claims of other organisations, pending or verified, of names below."""
        ...

    async def made_since(self, connection: AsyncConnection, org_id: UUID, since: datetime) -> int:
        """How many claims the organisation has made since an instant."""
        ...

    async def claims_page(
        self, connection: AsyncConnection, org_id: UUID, after: tuple[datetime, UUID] | None, most: int
    ) -> Sequence[ClaimRecord]:
        """The organisation's claims, newest first, after a place."""
        ...

    async def expired_claims(self, connection: AsyncConnection, now: datetime, most: int) -> Sequence[ClaimRecord]:
        """Claims that nothing has proved and whose address has ended, oldest end first."""
        ...

    async def add_claim(self, tx: Transaction, claim: ClaimRecord) -> None:
        """Add a claim. Raises ClaimMoved when another took its name meanwhile."""
        ...

    async def save_claim(self, tx: Transaction, before: ClaimRecord, after: ClaimRecord) -> None:
        """Write what of a claim may change. Raises ClaimMoved when its status is not `before`'s any more."""
        ...

    async def add_accepted(self, tx: Transaction, attempt: Attempt) -> bool:
        """Record a proof; False when the same message has proved something before."""
        ...

    async def add_refused(self, tx: Transaction, attempt: Attempt, most: int) -> None:
        """Record a refused attempt, unless its claim has so many of that day already."""
        ...

    async def proved_by(self, connection: AsyncConnection, proof_hash: bytes) -> UUID | None:
        """The claim that the message proved."""
        ...

    async def is_answered(self, connection: AsyncConnection, subject: str, request_id: str) -> bool:
        """Whether a mutation of this caller with this request id has been answered."""
        ...


class ConflictStore(Protocol):
    """claim_conflict."""

    async def find_conflict(self, connection: AsyncConnection, conflict_id: UUID) -> ConflictRecord | None:
        """The conflict with the id."""
        ...

    async def open_of(self, connection: AsyncConnection, claim_id: UUID) -> Sequence[ConflictRecord]:
        """Open conflicts with the claim on either side, oldest first."""
        ...

    async def open_conflict(self, tx: Transaction, conflict: ConflictRecord) -> None:
        """Add an open conflict."""
        ...

    async def resolve_conflict(
        self, tx: Transaction, conflict_id: UUID, resolution: str, resolved_by: str, at: datetime
    ) -> None:
        """End an open conflict."""
        ...

    async def repoint(self, tx: Transaction, before: UUID, after: UUID) -> int:
        """Turn open conflicts against one claim against another, but for the other's own; gives how many."""
        ...

    async def conflicts_page(
        self,
        connection: AsyncConnection,
        after: tuple[datetime, UUID] | None,
        most: int,
        *,
        include_resolved: bool,
        overdue_at: datetime | None,
    ) -> Sequence[ConflictRecord]:
        """Conflicts, those due first, after a place; with `overdue_at`, open ones that were due by then."""
        ...

    async def hold_overdue(
        self, tx: Transaction, now: datetime, escalated_before: datetime, most: int
    ) -> Sequence[ConflictRecord]:
        """Open conflicts that are overdue and not lately escalated, held; those that another process holds left out."""
        ...

    async def escalate(self, tx: Transaction, conflict_id: UUID, at: datetime) -> None:
        """Count one more escalation."""
        ...


class OrgsPort(Protocol):
    """The orgs service, as delegation needs it."""

    async def is_subsidiary(self, org_id: UUID, of_org_id: UUID) -> bool:
        """Whether one organisation stands below another. Raises Unavailable ORGS_UNAVAILABLE."""
        ...


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
        self, connection: AsyncConnection, *, include_revoked: bool, after: tuple[datetime, UUID] | None, limit: int
    ) -> list[AccountRecord]:
        """Accounts, newest first, from behind a place on."""
        ...

    async def revoke(self, tx: Transaction, account_id: UUID, at: datetime) -> bool:
        """Revoke an account; False when it was revoked already."""
        ...


@dataclass(frozen=True, slots=True)
class OidcIssuer:
    """Somebody whose identity tokens are believed: who, where its keys are, and what it calls us (client id)."""

    issuer: str
    jwks_uri: str
    audience: str


class IssuerKeys(Protocol):
    """The issuers that are configured, and their keys."""

    def find(self, issuer: str) -> OidcIssuer | None:
        """The issuer of that very name."""
        ...

    async def key(self, issuer: OidcIssuer, kid: str) -> IssuerKey | None:
        """A key of an issuer by its id; None when it has none. Unavailable ISSUER_UNAVAILABLE."""
        ...


@dataclass(frozen=True, slots=True)
class IssuerKey:
    """A public key of an issuer, and the algorithms (RFC 7518) that it may be used with."""

    public_key: IssuerPublicKey
    algorithms: frozenset[str]
