"""Audit entries of people and programs say what the contract's messages say, in the same words and forms."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from apportion_common.db.audit_json import audit_json
from apportion_identity.app.audit import invitation_entry, join_request_entry, service_account_entry
from apportion_identity.app.invitations import InvitationView
from apportion_identity.domain.invitations import Ends, Invitation
from apportion_identity.domain.people import JoinRequest
from apportion_identity.domain.roles import Role
from apportion_identity.domain.service_accounts import ServiceAccount
from apportion_identity.rpc.messages import invitation_to_message, join_request_to_message, service_account_to_message

A, B = UUID(int=1), UUID(int=2)
NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
INSTANTS = (
    NOON,
    NOON.replace(microsecond=120_000),
    NOON.replace(microsecond=123_456),
    NOON.astimezone(timezone(timedelta(hours=2))),
)


@pytest.mark.parametrize("at", INSTANTS)
@pytest.mark.parametrize("invited_by", [None, B])
@pytest.mark.parametrize("role", list(Role))
def test_an_invitation(at: datetime, invited_by: UUID | None, role: Role) -> None:
    day = timedelta(days=1)
    for ends, now in (
        (Ends(at + day), at),
        (Ends(at + day), at + day),
        (Ends(at + day, consumed_at=at), at),
        (Ends(at + day, revoked_at=at), at),
    ):
        made = Invitation(A, B, "ann@acme.example", role, ends, at, invited_by)
        message = invitation_to_message(InvitationView(made, ends.state(now)))
        assert audit_json(invitation_entry(made, now)) == audit_json(message)


@pytest.mark.parametrize("at", INSTANTS)
def test_a_join_request(at: datetime) -> None:
    for state, decided_at, decided_by in (("pending", None, ""), ("approved", at, "user:1"), ("denied", at, "user:1")):
        request = JoinRequest(A, B, None, "ann@acme.example", state, at, decided_at, decided_by)
        assert audit_json(join_request_entry(request)) == audit_json(join_request_to_message(request))


@pytest.mark.parametrize("at", INSTANTS)
def test_a_service_account(at: datetime) -> None:
    account = ServiceAccount(A, "meter", ("operator", "service"), "user:1", at)
    assert audit_json(service_account_entry(account)) == audit_json(service_account_to_message(account))
