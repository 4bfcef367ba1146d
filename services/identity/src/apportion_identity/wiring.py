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
from apportion_common.topology import EVENTS

from apportion_identity.app.claims import Claims
from apportion_identity.app.conflicts import Conflicts
from apportion_identity.app.credential_guards import IdTokenGuard, KeyGuard
from apportion_identity.app.delegation import Delegation
from apportion_identity.app.id_tokens import IdTokens
from apportion_identity.app.inspect_domain import InspectDomain
from apportion_identity.app.invitations import Invitations
from apportion_identity.app.join_requests import JoinRequests
from apportion_identity.app.judge_mail import JudgeMail
from apportion_identity.app.members import Members, Users
from apportion_identity.app.ports.access import IssuerKeys, Sealing
from apportion_identity.app.ports.claims import OrgsPort
from apportion_identity.app.ports.dns import DnsPort
from apportion_identity.app.service_accounts import ServiceAccounts
from apportion_identity.app.settings import GlobalSettings
from apportion_identity.app.signing_keys import SigningKeys
from apportion_identity.app.tokens import ExchangeTokens, IssueTokens, TokenScope
from apportion_identity.app.verification import Verification
from apportion_identity.consumers.org_created import FirstOwners, org_created_consumer
from apportion_identity.consumers.smtp_gateway import SmtpGateway, VerificationMail, server_tls
from apportion_identity.domain.domain_names import PublicSuffixes
from apportion_identity.flags import FLAGS
from apportion_identity.jobs.escalate_conflicts import EscalateConflicts
from apportion_identity.jobs.expire_claims import ExpireClaims
from apportion_identity.jobs.rotate_keys import KeyKeeper
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
from apportion_identity.rpc.orgs_client import GrpcOrgs
from apportion_identity.rpc.servicer import IdentityServicer, UseCases
from apportion_identity.settings import Settings
from apportion_identity.store.claims import StoredClaims
from apportion_identity.store.conflicts import StoredConflicts
from apportion_identity.store.dns import DnsResolver, parse_servers, system_servers
from apportion_identity.store.invitations import StoredInvitations
from apportion_identity.store.issuer_keys import FetchedIssuerKeys, load_issuers
from apportion_identity.store.join_requests import StoredJoinRequests
from apportion_identity.store.key_files import read_secret_keys
from apportion_identity.store.members import StoredMembers
from apportion_identity.store.sealing import SealingKeys
from apportion_identity.store.service_accounts import StoredServiceAccounts
from apportion_identity.store.settings import StoredSettings
from apportion_identity.store.signing_keys import StoredSigningKeys
from apportion_identity.store.suffixes import PackagedSuffixes
from apportion_identity.store.tables import shared

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["IdentityService"].full_name


@dataclass(frozen=True, slots=True)
class Outside:
    """What the service has to do with beside its database; a test puts its own in place."""

    token_scope: TokenScope
    sealing: Sealing
    issuers: IssuerKeys
    dns: DnsPort
    suffixes: PublicSuffixes
    orgs: OrgsPort
    proof_key: bytes
    claim_mail_domain: str


@dataclass(frozen=True, slots=True)
class ClaimParts:
    """What claims are worked on by."""

    claims: Claims
    conflicts: Conflicts
    delegation: Delegation
    verification: Verification


def make_signing_keys(database: Database, outside: Outside) -> SigningKeys:
    """The keys that sign tokens."""
    return SigningKeys(database, StoredSigningKeys(), outside.sealing)


def make_claims(database: Database, outside: Outside, settings: GlobalSettings) -> ClaimParts:
    """What claims are worked on by, on a database."""
    stored = StoredClaims()
    conflicts = Conflicts(stored, StoredConflicts(), outside.suffixes)
    claims = Claims(stored, conflicts, outside.suffixes, outside.claim_mail_domain)
    return ClaimParts(
        claims=claims,
        conflicts=conflicts,
        delegation=Delegation(claims, stored, conflicts, outside.orgs),
        verification=Verification(
            database,
            stored,
            conflicts,
            JudgeMail(outside.dns, outside.suffixes, database.clock),
            settings,
            proof_key=outside.proof_key,
            mail_domain=outside.claim_mail_domain,
        ),
    )


def make_servicer(database: Database, outside: Outside) -> IdentityServicer:
    """The RPCs on a database, with what is outside."""
    return IdentityServicer(database, make_use_cases(database, outside))


def make_use_cases(database: Database, outside: Outside) -> UseCases:
    """What the service does, on a database, with what is outside."""
    signing_keys, accounts = make_signing_keys(database, outside), StoredServiceAccounts()
    clock, stored_members = database.clock, StoredMembers()
    settings = GlobalSettings(database, StoredSettings(), clock)
    members, users = Members(stored_members), Users(stored_members)
    parts = make_claims(database, outside, settings)
    return UseCases(
        audit=AuditTrail(database, shared),
        signing_keys=signing_keys,
        service_accounts=ServiceAccounts(accounts),
        issue_tokens=IssueTokens(database, accounts, signing_keys, outside.token_scope, KeyGuard(clock)),
        exchange_tokens=ExchangeTokens(
            database,
            IdTokens(outside.issuers, clock),
            users,
            stored_members,
            signing_keys,
            outside.token_scope,
            IdTokenGuard(clock),
        ),
        settings=settings,
        claims=parts.claims,
        conflicts=parts.conflicts,
        delegation=parts.delegation,
        verification=parts.verification,
        inspect_domain=InspectDomain(outside.dns, outside.suffixes, settings),
        inspection_rate=RateLimit(
            "inspections", INSPECTIONS_BURST_MAX, INSPECTIONS_PER_MINUTE_MAX / 60, clock, INSPECTION_KEYS_MAX
        ),
        members=members,
        invitations=Invitations(StoredInvitations(), members, settings),
        join_requests=JoinRequests(StoredJoinRequests(), members, users),
        accept_rate=RateLimit(
            "tries to accept an invitation", ACCEPT_BURST_MAX, ACCEPTS_PER_MINUTE_MAX / 60, clock, PEOPLE_RATE_KEYS_MAX
        ),
        suggestion_rate=RateLimit(
            "suggestions", SUGGESTION_BURST_MAX, SUGGESTIONS_PER_SECOND_MAX, clock, PEOPLE_RATE_KEYS_MAX
        ),
        join_rate=RateLimit("join requests", JOIN_BURST_MAX, JOINS_PER_HOUR_MAX / 3_600, clock, PEOPLE_RATE_KEYS_MAX),
    )


def outside_of(settings: Settings, clock: Clock, channels: Channels) -> Outside:
    """What the settings name. Raises OSError or ValueError for files that cannot be used, or a missing address."""
    return Outside(
        token_scope=TokenScope(settings.token_issuer, settings.token_audience),
        sealing=SealingKeys(read_secret_keys(settings.key_encryption_key_file, SEALING_KEYS_MAX)),
        issuers=FetchedIssuerKeys(load_issuers(settings.oidc_issuers_file), clock),
        dns=DnsResolver(parse_servers(settings.dns_servers) or system_servers(), settings.dns_timeout_s, clock),
        suffixes=PackagedSuffixes(),
        orgs=GrpcOrgs(channels.channel(settings.address_of("orgs"))),
        proof_key=read_secret_keys(settings.proof_key_file, 1)[0],
        claim_mail_domain=settings.claim_mail_domain,
    )


def make_gateway(runtime: Runtime, verification: Verification) -> SmtpGateway:
    """Mail's own way in, as the settings say. Raises OSError, ssl.SSLError or ValueError for what cannot be used."""
    settings: Settings = runtime.settings
    return SmtpGateway(
        VerificationMail(verification),
        listen=settings.smtp_listen,
        hostname=settings.smtp_hostname or settings.claim_mail_domain,
        claim_domain=settings.claim_mail_domain,
        tls=server_tls(settings.tls_cert_file, settings.tls_key_file),
        clock=runtime.clock,
        is_open=lambda: runtime.flags.is_open("domain_claims"),
    )


async def build(runtime: Runtime) -> None:
    """Give the runtime what identity serves and what it runs beside."""
    outside = outside_of(runtime.settings, runtime.clock, runtime.channels)
    signing_keys = make_signing_keys(runtime.database, outside)
    await signing_keys.ensure_first()
    # The stubs call every RPC abstract, but those that are not overridden answer UNIMPLEMENTED.
    use_cases = make_use_cases(runtime.database, outside)
    servicer = IdentityServicer(runtime.database, use_cases)

    def register(server: grpc.aio.Server) -> None:
        add_IdentityServiceServicer_to_server(servicer, server)

    await ensure_streams(runtime.js, (EVENTS,))
    runtime.serve(register, SERVICE_NAME)
    runtime.behind(FLAGS)
    # What the others ask identity for, it asks its own database.
    runtime.trust_keys(KeySource(signing_keys.key_set))
    runtime.background("signing_keys", KeyKeeper(signing_keys).run)
    claims_paused = lambda: not runtime.flags.is_open("domain_claims")  # noqa: E731 - asked again at every round
    expiry = ExpireClaims(runtime.database, use_cases.claims, use_cases.settings, claims_paused)
    runtime.background("claim_expiry", expiry.run)
    escalation = EscalateConflicts(runtime.database, use_cases.conflicts, claims_paused)
    runtime.background("conflict_escalation", escalation.run)
    if runtime.settings.smtp_listen:
        runtime.background("smtp_gateway", make_gateway(runtime, use_cases.verification).run)
    first_owners = FirstOwners(use_cases.members, Users(StoredMembers()))
    runtime.background("org_created", org_created_consumer(runtime.database, runtime.nats, first_owners).run)
    runtime.background("relay", OutboxRelay(runtime.database, runtime.nats).run)
