"""Who may do what to whom: every case against the rules said once more, plainly."""

from __future__ import annotations

import itertools

import pytest
from apportion_common.errors import ApportionError
from apportion_identity.domain.roles import Role, check_change, check_invite, check_reaches, check_removal, may_invite

OWNER, ADMIN, USER = Role.OWNER, Role.ADMIN, Role.USER


def reason(check: object, *arguments: object, **keywords: object) -> str:
    assert callable(check)
    try:
        check(*arguments, **keywords)
    except ApportionError as error:
        return error.reason
    return ""


@pytest.mark.parametrize(("inviter", "invited"), list(itertools.product(Role, Role)))
def test_who_may_invite_whom(inviter: Role, invited: Role) -> None:
    allowed = inviter is OWNER or (inviter is ADMIN and invited is not OWNER)
    assert (reason(check_invite, inviter, invited) == "") == allowed
    assert (may_invite(inviter, invited), may_invite(None, invited)) == (allowed, False)


@pytest.mark.parametrize(
    ("actor", "is_own", "current", "new", "owners"), list(itertools.product(Role, (True, False), Role, Role, (1, 2)))
)
def test_who_may_change_whose_role(actor: Role, is_own: bool, current: Role, new: Role, owners: int) -> None:
    wanted = ""
    if actor is USER:
        wanted = "ROLE_REQUIRED"
    elif is_own:
        wanted = "OWN_ROLE"
    elif actor is ADMIN and OWNER in (current, new):
        wanted = "OWNER_REQUIRED"
    elif current is OWNER and new is not OWNER and owners == 1:
        wanted = "LAST_OWNER"
    assert reason(check_change, actor, is_own=is_own, current=current, new=new, owners=owners) == wanted


@pytest.mark.parametrize(
    ("actor", "is_own", "current", "owners"), list(itertools.product(Role, (True, False), Role, (1, 2)))
)
def test_who_may_end_whose_membership(actor: Role, is_own: bool, current: Role, owners: int) -> None:
    wanted = ""
    if not is_own and actor is USER:
        wanted = "ROLE_REQUIRED"
    elif not is_own and actor is ADMIN and current is OWNER:
        wanted = "OWNER_REQUIRED"
    elif current is OWNER and owners == 1:
        wanted = "LAST_OWNER"
    assert reason(check_removal, actor, is_own=is_own, current=current, owners=owners) == wanted


def test_who_is_no_member_may_nothing() -> None:
    assert [reason(check_reaches, None, role) for role in (USER, ADMIN, OWNER)] == [
        "ROLE_REQUIRED",
        "ROLE_REQUIRED",
        "OWNER_REQUIRED",
    ]
