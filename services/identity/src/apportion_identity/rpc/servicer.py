"""IdentityService, put together by subject. What is not built is inherited and answers UNIMPLEMENTED."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from apportion.identity.v1 import identity_service_pb2 as pb
from apportion_common.db.unit_of_work import Database

from apportion_identity.app.claims import Claims
from apportion_identity.app.conflicts import Conflicts
from apportion_identity.app.delegation import Delegation
from apportion_identity.app.inspect_domain import InspectDomain
from apportion_identity.app.invitations import Invitations
from apportion_identity.app.join_requests import JoinRequests
from apportion_identity.app.members import Members
from apportion_identity.app.ports.common import AuditTrail, RateLimiter
from apportion_identity.app.service_accounts import ServiceAccounts
from apportion_identity.app.settings import GlobalSettings
from apportion_identity.app.signing_keys import SigningKeys
from apportion_identity.app.tokens import ExchangeTokens, IssueTokens
from apportion_identity.app.verification import Verification
from apportion_identity.rpc.claim_rpcs import ClaimRpcs
from apportion_identity.rpc.conflict_rpcs import ConflictRpcs
from apportion_identity.rpc.inspection_rpcs import InspectionRpcs
from apportion_identity.rpc.invitation_rpcs import InvitationRpcs
from apportion_identity.rpc.join_rpcs import JoinRpcs
from apportion_identity.rpc.member_rpcs import MemberRpcs
from apportion_identity.rpc.service_account_rpcs import ServiceAccountRpcs
from apportion_identity.rpc.setting_rpcs import SettingRpcs
from apportion_identity.rpc.token_rpcs import TokenRpcs
from apportion_identity.rpc.verification_rpcs import VerificationRpcs


@dataclass(frozen=True, slots=True)
class UseCases:
    """What the RPCs do."""

    audit: AuditTrail
    signing_keys: SigningKeys
    service_accounts: ServiceAccounts
    issue_tokens: IssueTokens
    exchange_tokens: ExchangeTokens
    settings: GlobalSettings
    claims: Claims
    conflicts: Conflicts
    delegation: Delegation
    verification: Verification
    inspect_domain: InspectDomain
    inspection_rate: RateLimiter
    members: Members
    invitations: Invitations
    join_requests: JoinRequests
    accept_rate: RateLimiter
    suggestion_rate: RateLimiter
    join_rate: RateLimiter


class IdentityServicer(
    ClaimRpcs,
    ConflictRpcs,
    InspectionRpcs,
    InvitationRpcs,
    JoinRpcs,
    MemberRpcs,
    SettingRpcs,
    ServiceAccountRpcs,
    TokenRpcs,
    VerificationRpcs,
):
    """The RPCs of identity that are built."""

    def __init__(self, database: Database, use_cases: UseCases) -> None:
        """Answer from these use cases, each call in its own transaction."""
        self._database = database
        self._audit = use_cases.audit
        self._signing_keys = use_cases.signing_keys
        self._service_accounts = use_cases.service_accounts
        self._issue_tokens = use_cases.issue_tokens
        self._exchange_tokens = use_cases.exchange_tokens
        self._settings = use_cases.settings
        self._claims = use_cases.claims
        self._conflicts = use_cases.conflicts
        self._delegation = use_cases.delegation
        self._verification = use_cases.verification
        self._inspect_domain = use_cases.inspect_domain
        self._inspection_rate = use_cases.inspection_rate
        self._members = use_cases.members
        self._invitations = use_cases.invitations
        self._join_requests = use_cases.join_requests
        self._accept_rate = use_cases.accept_rate
        self._suggestion_rate = use_cases.suggestion_rate
        self._join_rate = use_cases.join_rate

    async def ListAudit(self, request: pb.ListAuditRequest, context: Any) -> pb.ListAuditResponse:
        """A page of audit entries, newest first. INVALID_ARGUMENT PAGE_TOKEN_MALFORMED."""
        entries, next_token = await self._audit.page(request.query)
        return pb.ListAuditResponse(entries=entries, next_page_token=next_token)
