"""What audit entries hold of people and programs: the words and forms of the contract's messages in JSON.

Addresses are replaced when an entry is written: their key says that they are personal.
"""

from __future__ import annotations

from datetime import UTC, datetime

from apportion_identity.domain.claims import Claim
from apportion_identity.domain.invitations import Invitation
from apportion_identity.domain.people import JoinRequest
from apportion_identity.domain.service_accounts import ServiceAccount

Entry = dict[str, object]


def claim_entry(claim: Claim) -> Entry:
    """Return what of a claim its changes are told by."""
    return {
        "domain": claim.domain,
        "status": claim.status.value,
        "wildcard": claim.wildcard,
        "proved_at": claim.proved_at,
    }


def invitation_entry(invitation: Invitation, now: datetime) -> Entry:
    """Return an invitation in its state at an instant."""
    return _without_empty(
        {
            "invitation_id": str(invitation.invitation_id),
            "org_id": str(invitation.org_id),
            "email": invitation.email,
            "role": f"MEMBER_ROLE_{invitation.role.name}",
            "state": f"INVITATION_STATE_{invitation.ends.state(now).name}",
            "created_at": _instant(invitation.created_at),
            "expires_at": _instant(invitation.ends.expires_at),
            "invited_by": "" if invitation.invited_by is None else str(invitation.invited_by),
        }
    )


def join_request_entry(request: JoinRequest) -> Entry:
    """Return a join request."""
    return _without_empty(
        {
            "join_request_id": str(request.request_id),
            "email": request.email,
            "state": f"JOIN_REQUEST_STATE_{request.state.upper()}",
            "created_at": _instant(request.created_at),
            "decided_at": "" if request.decided_at is None else _instant(request.decided_at),
            "decided_by": request.decided_by,
        }
    )


def service_account_entry(account: ServiceAccount) -> Entry:
    """Return a service account, of which its key is no part."""
    return _without_empty(
        {
            "account_id": str(account.account_id),
            "name": account.name,
            "roles": list(account.roles),
            "created_by": account.created_by,
            "created_at": _instant(account.created_at),
        }
    )


def _without_empty(entry: Entry) -> Entry:
    return {name: value for name, value in entry.items() if value not in ("", [])}


def _instant(at: datetime) -> str:
    """Return an instant as JSON of the contract has it: UTC, with no, three or six digits of the second's fraction."""
    in_utc = at.astimezone(UTC)
    fraction = "microseconds" if in_utc.microsecond % 1_000 else "milliseconds"
    return in_utc.isoformat(timespec=fraction if in_utc.microsecond else "seconds").replace("+00:00", "Z")
