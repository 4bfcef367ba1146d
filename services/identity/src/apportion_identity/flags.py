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
                "SubmitVerificationEmail",
                "GetClaim",
                "ListClaims",
                "RevokeClaim",
                "ResolveConflict",
                "SetWildcard",
                "DelegateSubdomain",
            ),
            seeds=("settings.toml",),
        ),
        FlagScope(
            flag="private_suggestions",
            rpcs=("SuggestOrg", "CreateJoinRequest", "DecideJoinRequest"),
        ),
    ),
    always=(
        "GetJwks",
        "ListAudit",
        "CreateInvitation",
        "AcceptInvitation",
        "RevokeInvitation",
        "ListInvitations",
        "ListMembers",
        "SetMemberRole",
        "RemoveMember",
        "GetGlobalSetting",
        "SetGlobalSetting",
        "CreateServiceAccount",
        "RevokeServiceAccount",
        "IssueToken",
        "ExchangeToken",
    ),
)
"""Invitations, members, settings and tokens were there before the plan."""
