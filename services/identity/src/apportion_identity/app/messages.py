"""What the use cases say of people, as messages of the contract."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

from apportion.identity.v1 import identity_service_pb2 as pb
from google.protobuf.timestamp_pb2 import Timestamp

from apportion_identity.app.ports.people import InvitationRecord, JoinRequestRecord, MemberRecord
from apportion_identity.app.ports.settings import SettingRow
from apportion_identity.domain.global_settings import KnownSetting
from apportion_identity.domain.invitation import InvitationState
from apportion_identity.domain.roles import Role

ROLES: Final = {
    Role.OWNER: pb.MEMBER_ROLE_OWNER,
    Role.ADMIN: pb.MEMBER_ROLE_ADMIN,
    Role.USER: pb.MEMBER_ROLE_USER,
}
ROLE_OF: Final = {number: role for role, number in ROLES.items()}
_INVITATION_STATES: Final = {
    InvitationState.LIVE: pb.INVITATION_STATE_LIVE,
    InvitationState.EXPIRED: pb.INVITATION_STATE_EXPIRED,
    InvitationState.CONSUMED: pb.INVITATION_STATE_CONSUMED,
    InvitationState.REVOKED: pb.INVITATION_STATE_REVOKED,
}
JOIN_STATES: Final = {
    "pending": pb.JOIN_REQUEST_STATE_PENDING,
    "approved": pb.JOIN_REQUEST_STATE_APPROVED,
    "denied": pb.JOIN_REQUEST_STATE_DENIED,
}


def member_message(member: MemberRecord) -> pb.Member:
    """A member."""
    return pb.Member(
        org_id=str(member.org_id), user_id=str(member.user_id), email=member.email, role=ROLES[member.role]
    )


def membership_changed(org_id: UUID, user_id: UUID, role: Role | None) -> pb.MembershipChanged:
    """The announcement of what a member is now; without a role: no member any more."""
    return pb.MembershipChanged(
        org_id=str(org_id), user_id=str(user_id), role=pb.MEMBER_ROLE_UNSPECIFIED if role is None else ROLES[role]
    )


def invitation_message(invitation: InvitationRecord, now: datetime) -> pb.Invitation:
    """An invitation as it stands at an instant."""
    return pb.Invitation(
        invitation_id=str(invitation.invitation_id),
        org_id=str(invitation.org_id),
        email=invitation.email,
        role=ROLES[invitation.role],
        state=_INVITATION_STATES[invitation.ends.state(now)],
        created_at=timestamp_of(invitation.created_at),
        expires_at=timestamp_of(invitation.ends.expires_at),
        invited_by="" if invitation.invited_by is None else str(invitation.invited_by),
    )


def join_request_message(request: JoinRequestRecord) -> pb.JoinRequest:
    """A join request, as the organisation's own Admins see it."""
    return pb.JoinRequest(
        join_request_id=str(request.request_id),
        email=request.email,
        state=JOIN_STATES[request.state],
        created_at=timestamp_of(request.created_at),
        decided_at=None if request.decided_at is None else timestamp_of(request.decided_at),
        decided_by=request.decided_by,
    )


def timestamp_of(at: datetime) -> Timestamp:
    """An instant as the contract has it."""
    message = Timestamp()
    message.FromDatetime(at)
    return message


def setting_message(setting: KnownSetting, row: SettingRow | None) -> pb.GlobalSetting:
    """A setting with its value, or its default when it was never set."""
    return pb.GlobalSetting(
        key=setting.key,
        value=setting.default if row is None else row.value,
        value_type=setting.value_type,
        updated_at=None if row is None else timestamp_of(row.updated_at),
        description=setting.description,
    )
