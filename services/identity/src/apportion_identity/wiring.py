"""The only place where the service's parts are made and joined."""

from __future__ import annotations

from dataclasses import dataclass

import grpc
from apportion.identity.v1 import identity_service_pb2 as pb
from apportion.identity.v1.identity_service_pb2_grpc import add_IdentityServiceServicer_to_server
from apportion_common.bus.relay import OutboxRelay
from apportion_common.bus.streams import ensure_streams
from apportion_common.clock import Clock
from apportion_common.db.audit_query import AuditTrail
from apportion_common.db.unit_of_work import Database
from apportion_common.grpc.client import Channels
from apportion_common.grpc.key_source import KeySource
from apportion_common.rate_limit import RateLimit
from apportion_common.run import Runtime
from apportion_common.topology import EVENTS, sized

from apportion_identity.adapters.dns import DnsResolver, parse_servers, system_servers
from apportion_identity.adapters.issuer_keys import IssuerKeys, load_issuers
from apportion_identity.adapters.key_files import read_secret_keys
from apportion_identity.adapters.orgs import GrpcOrgs
from apportion_identity.adapters.sealing import SealingKeys
from apportion_identity.adapters.suffixes import PackagedSuffixes
from apportion_identity.app.claim_changes import ClaimChanges
from apportion_identity.app.claim_contests import ClaimContests
from apportion_identity.app.claims import Claims
from apportion_identity.app.conflicts import Conflicts
from apportion_identity.app.credential_guards import IdTokenGuard, KeyGuard
from apportion_identity.app.delegations import Delegations
from apportion_identity.app.edges import DnsLookup, OrgsClient
from apportion_identity.app.id_tokens import IdTokens
from apportion_identity.app.inspections import Inspections
from apportion_identity.app.invitations import Invitations
from apportion_identity.app.join_requests import JoinRequests
from apportion_identity.app.members import Members
from apportion_identity.app.memberships import Memberships
from apportion_identity.app.permissions import Permissions
from apportion_identity.app.service_accounts import ServiceAccounts
from apportion_identity.app.settings import GlobalSettings
from apportion_identity.app.signing_keys import SigningKeys
from apportion_identity.app.tokens import AccountTokens, TokenScope, UserTokens
from apportion_identity.app.users import Users
from apportion_identity.app.verifications import Verifications
from apportion_identity.app.verify_mail import MailVerifier
from apportion_identity.consumers.org_created import FirstOwners, org_created_consumer
from apportion_identity.domain.domain_names import PublicSuffixes
from apportion_identity.flags import FLAGS
from apportion_identity.jobs.escalate_conflicts import ConflictEscalationJob
from apportion_identity.jobs.expire_claims import ClaimExpiryJob
from apportion_identity.jobs.rotate_keys import KeyRotationJob
from apportion_identity.limits import (
    ACCEPT_BURST_MAX,
    ACCEPTS_PER_MINUTE_MAX,
    INSPECTION_KEYS_MAX,
    INSPECTIONS_BURST_MAX,
    INSPECTIONS_PER_MINUTE_MAX,
    JOIN_BURST_MAX,
    JOINS_PER_HOUR_MAX,
    PEOPLE_RATE_KEYS_MAX,
    SEALING_KEYS_MAX,
    SUGGESTION_BURST_MAX,
    SUGGESTIONS_PER_SECOND_MAX,
)
from apportion_identity.rpc.servicer import IdentityServicer, Rates, UseCases
from apportion_identity.settings import Settings
from apportion_identity.smtp.gateway import SmtpGateway, server_tls
from apportion_identity.smtp.mail import VerificationMail
from apportion_identity.store.claims import ClaimStore
from apportion_identity.store.conflicts import ConflictStore
from apportion_identity.store.invitations import InvitationStore
from apportion_identity.store.join_requests import JoinRequestStore
from apportion_identity.store.members import MemberStore
from apportion_identity.store.request_records import RequestRecordStore
from apportion_identity.store.service_accounts import ServiceAccountStore
from apportion_identity.store.settings import SettingStore
from apportion_identity.store.signing_keys import SigningKeyStore
from apportion_identity.store.tables import shared
from apportion_identity.store.users import UserStore
from apportion_identity.store.verifications import VerificationStore

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["IdentityService"].full_name


@dataclass(frozen=True, slots=True)
class Outside:
    """What the service works with beside its database; a test puts its own in place."""

    token_scope: TokenScope
    sealing: SealingKeys
    issuers: IssuerKeys
    dns: DnsLookup
    suffixes: PublicSuffixes
    orgs: OrgsClient
    proof_key: bytes
    claim_mail_domain: str


@dataclass(frozen=True, slots=True)
class Parts:
    """The service on a database."""

    use_cases: UseCases
    servicer: IdentityServicer
    users: Users
    memberships: Memberships


@dataclass(frozen=True, slots=True)
class _ClaimParts:
    """What works on claims."""

    claims: Claims
    conflicts: Conflicts
    delegations: Delegations
    verifications: Verifications


def make_parts(database: Database, outside: Outside, rates: Rates | None = None) -> Parts:
    """Return the service on a database, with what is outside."""
    members, users, accounts = MemberStore(), UserStore(), ServiceAccountStore()
    invitations, clock, permissions = InvitationStore(), database.clock, Permissions(members)
    settings, memberships, people = GlobalSettings(database, SettingStore()), Memberships(members, users), Users(users)
    signing_keys = SigningKeys(database, SigningKeyStore(), outside.sealing)
    scope = outside.token_scope
    on_claims = _make_claim_parts(database, outside, permissions, settings)
    use_cases = UseCases(
        audit=AuditTrail(database, shared),
        signing_keys=signing_keys,
        service_accounts=ServiceAccounts(database, accounts),
        account_tokens=AccountTokens(database, accounts, signing_keys, scope, KeyGuard(clock)),
        user_tokens=UserTokens(
            database, IdTokens(outside.issuers, clock), people, members, signing_keys, scope, IdTokenGuard(clock)
        ),
        settings=settings,
        claims=on_claims.claims,
        conflicts=on_claims.conflicts,
        delegations=on_claims.delegations,
        verifications=on_claims.verifications,
        inspections=Inspections(outside.dns, outside.suffixes, settings),
        members=Members(database, members, users, invitations, permissions),
        invitations=Invitations(database, invitations, permissions, memberships, people, settings),
        join_requests=JoinRequests(database, JoinRequestStore(), permissions, memberships, people),
    )
    servicer = IdentityServicer(use_cases, rates or make_rates(clock))
    return Parts(use_cases, servicer, people, memberships)


def make_rates(clock: Clock) -> Rates:
    """Return the rates of calls, with nothing counted yet."""
    return Rates(
        inspections=RateLimit(
            "inspections", INSPECTIONS_BURST_MAX, INSPECTIONS_PER_MINUTE_MAX / 60, clock, INSPECTION_KEYS_MAX
        ),
        acceptances=RateLimit(
            "tries to accept an invitation", ACCEPT_BURST_MAX, ACCEPTS_PER_MINUTE_MAX / 60, clock, PEOPLE_RATE_KEYS_MAX
        ),
        suggestions=RateLimit(
            "suggestions", SUGGESTION_BURST_MAX, SUGGESTIONS_PER_SECOND_MAX, clock, PEOPLE_RATE_KEYS_MAX
        ),
        joins=RateLimit("join requests", JOIN_BURST_MAX, JOINS_PER_HOUR_MAX / 3_600, clock, PEOPLE_RATE_KEYS_MAX),
    )


def _make_claim_parts(
    database: Database, outside: Outside, permissions: Permissions, settings: GlobalSettings
) -> _ClaimParts:
    claims, conflicts, records = ClaimStore(), ConflictStore(), RequestRecordStore()
    changes = ClaimChanges(database, claims, outside.suffixes)
    contests = ClaimContests(changes, claims, conflicts)
    return _ClaimParts(
        claims=Claims(
            database,
            claims,
            changes,
            contests,
            permissions,
            settings,
            outside.suffixes,
            mail_domain=outside.claim_mail_domain,
        ),
        conflicts=Conflicts(database, claims, conflicts, changes, contests, settings),
        delegations=Delegations(database, claims, records, changes, contests, permissions, settings, outside.orgs),
        verifications=Verifications(
            database,
            claims,
            VerificationStore(),
            records,
            changes,
            contests,
            MailVerifier(outside.dns, outside.suffixes, database.clock),
            settings,
            proof_key=outside.proof_key,
            mail_domain=outside.claim_mail_domain,
        ),
    )


def outside_of(settings: Settings, clock: Clock, channels: Channels) -> Outside:
    """Return what the settings name. Raises OSError or ValueError for unusable files, or a missing address."""
    return Outside(
        token_scope=TokenScope(settings.token_issuer, settings.token_audience),
        sealing=SealingKeys(read_secret_keys(settings.key_encryption_key_file, SEALING_KEYS_MAX)),
        issuers=IssuerKeys(load_issuers(settings.oidc_issuers_file), clock),
        dns=DnsResolver(parse_servers(settings.dns_servers) or system_servers(), settings.dns_timeout_s, clock),
        suffixes=PackagedSuffixes(),
        orgs=GrpcOrgs(channels.channel(settings.address_of("orgs"))),
        proof_key=read_secret_keys(settings.proof_key_file, 1)[0],
        claim_mail_domain=settings.claim_mail_domain,
    )


def make_gateway(runtime: Runtime, verifications: Verifications) -> SmtpGateway:
    """Return mail's own way in, as the settings say. Raises OSError, ssl.SSLError or ValueError for unusable ones."""
    settings: Settings = runtime.settings
    return SmtpGateway(
        VerificationMail(verifications),
        listen=settings.smtp_listen,
        hostname=settings.smtp_hostname or settings.claim_mail_domain,
        claim_domain=settings.claim_mail_domain,
        tls=server_tls(settings.tls_cert_file, settings.tls_key_file),
        clock=runtime.clock,
        is_open=lambda: runtime.flags.is_open("domain_claims"),
    )


async def build(runtime: Runtime) -> None:
    """Register with the runtime what identity serves and what it runs beside."""
    parts = make_parts(runtime.database, outside_of(runtime.settings, runtime.clock, runtime.channels))
    use_cases = parts.use_cases
    await use_cases.signing_keys.ensure_first()

    def register(server: grpc.aio.Server) -> None:
        add_IdentityServiceServicer_to_server(parts.servicer, server)

    await ensure_streams(runtime.js, sized((EVENTS,), runtime.settings.streams_mib))
    runtime.serve(register, SERVICE_NAME)
    runtime.behind(FLAGS)
    # What the others ask identity for, it reads from its own database.
    runtime.trust_keys(KeySource(use_cases.signing_keys.key_set))
    claims_paused = lambda: not runtime.flags.is_open("domain_claims")  # noqa: E731 - asked again at every round
    runtime.background("signing_keys", KeyRotationJob(use_cases.signing_keys).run)
    runtime.background("claim_expiry", ClaimExpiryJob(use_cases.claims, claims_paused).run)
    runtime.background("conflict_escalation", ConflictEscalationJob(use_cases.conflicts, claims_paused).run)
    if runtime.settings.smtp_listen:
        runtime.background("smtp_gateway", make_gateway(runtime, use_cases.verifications).run)
    first_owners = FirstOwners(parts.memberships, parts.users)
    runtime.background("org_created", org_created_consumer(runtime.database, runtime.nats, first_owners).run)
    runtime.background("relay", OutboxRelay(runtime.database, runtime.nats).run)
