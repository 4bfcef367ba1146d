"""IdentityService, put together by subject. What is not built is inherited and answers UNIMPLEMENTED."""

from __future__ import annotations

from dataclasses import dataclass

from apportion_common.db.audit_query import AuditTrail
from apportion_common.rate_limit import RateLimit

from apportion_identity.app.claims import Claims
from apportion_identity.app.conflicts import Conflicts
from apportion_identity.app.delegations import Delegations
from apportion_identity.app.inspections import Inspections
from apportion_identity.app.invitations import Invitations
from apportion_identity.app.join_requests import JoinRequests
from apportion_identity.app.members import Members
from apportion_identity.app.service_accounts import ServiceAccounts
from apportion_identity.app.settings import GlobalSettings
from apportion_identity.app.signing_keys import SigningKeys
from apportion_identity.app.tokens import AccountTokens, UserTokens
from apportion_identity.app.verifications import Verifications
from apportion_identity.rpc.audit import AuditRpcs
from apportion_identity.rpc.claims import ClaimRpcs
from apportion_identity.rpc.conflicts import ConflictRpcs
from apportion_identity.rpc.inspections import InspectionRpcs
from apportion_identity.rpc.invitations import InvitationRpcs
from apportion_identity.rpc.join_requests import JoinRequestRpcs
from apportion_identity.rpc.members import MemberRpcs
from apportion_identity.rpc.service_accounts import ServiceAccountRpcs
from apportion_identity.rpc.settings import SettingRpcs
from apportion_identity.rpc.tokens import TokenRpcs
from apportion_identity.rpc.verifications import VerificationRpcs


@dataclass(frozen=True, slots=True)
class UseCases:
    """What the RPCs call."""

    audit: AuditTrail
    signing_keys: SigningKeys
    service_accounts: ServiceAccounts
    account_tokens: AccountTokens
    user_tokens: UserTokens
    settings: GlobalSettings
    claims: Claims
    conflicts: Conflicts
    delegations: Delegations
    verifications: Verifications
    inspections: Inspections
    members: Members
    invitations: Invitations
    join_requests: JoinRequests


@dataclass(frozen=True, slots=True)
class Rates:
    """How often one caller may do what costs, or what could be guessed by trying."""

    inspections: RateLimit
    acceptances: RateLimit
    suggestions: RateLimit
    joins: RateLimit


class IdentityServicer(
    ClaimRpcs,
    ConflictRpcs,
    InspectionRpcs,
    InvitationRpcs,
    JoinRequestRpcs,
    MemberRpcs,
    ServiceAccountRpcs,
    SettingRpcs,
    TokenRpcs,
    VerificationRpcs,
    AuditRpcs,
):
    """The RPCs of identity that are built."""

    def __init__(self, use_cases: UseCases, rates: Rates) -> None:
        """Answer from these use cases."""
        self._audit = use_cases.audit
        self._signing_keys = use_cases.signing_keys
        self._service_accounts = use_cases.service_accounts
        self._account_tokens = use_cases.account_tokens
        self._user_tokens = use_cases.user_tokens
        self._settings = use_cases.settings
        self._claims = use_cases.claims
        self._conflicts = use_cases.conflicts
        self._delegations = use_cases.delegations
        self._verifications = use_cases.verifications
        self._inspections = use_cases.inspections
        self._members = use_cases.members
        self._invitations = use_cases.invitations
        self._join_requests = use_cases.join_requests
        self._inspection_rate = rates.inspections
        self._accept_rate = rates.acceptances
        self._suggestion_rate = rates.suggestions
        self._join_rate = rates.joins
