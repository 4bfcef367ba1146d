"""What of identity stands behind which feature flag; docs/flags.md shows all services' tables."""

from __future__ import annotations

from typing import Final

from apportion_common.flags import FlagScope, FlagTable

FLAGS: Final = FlagTable(
    "apportion.identity.v1.IdentityService",
    (
        FlagScope(
            flag="domain_claims",
            rpcs=(
                "CreateClaim",
                "RenewClaimToken",
                "SubmitVerificationEmail",
                "InspectDomain",
                "GetClaim",
                "ListClaims",
                "RevokeClaim",
                "ListConflicts",
                "ResolveConflict",
                "SetWildcard",
                "DelegateSubdomain",
            ),
            seeds=("settings.toml",),
        ),
        FlagScope(
            flag="private_suggestions",
            rpcs=("SuggestOrg", "CreateJoinRequest", "ListJoinRequests", "DecideJoinRequest"),
        ),
    ),
    always=(
        "GetJwks",
        "RotateSigningKey",
        "ListAudit",
        "CreateInvitation",
        "AcceptInvitation",
        "RevokeInvitation",
        "ListInvitations",
        "ListMembers",
        "SetMemberRole",
        "RemoveMember",
        "ListGlobalSettings",
        "GetGlobalSetting",
        "SetGlobalSetting",
        "CreateServiceAccount",
        "ListServiceAccounts",
        "RevokeServiceAccount",
        "IssueToken",
        "ExchangeToken",
    ),
)
"""Invitations, members, settings and tokens were there before the plan."""
