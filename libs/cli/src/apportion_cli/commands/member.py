"""`apportion member`: who belongs to an organisation, and as what."""

from __future__ import annotations

from typing import Annotated

import typer
from apportion.identity.v1 import identity_service_pb2 as identity
from apportion_client.names import Names
from apportion_client.pages import every
from apportion_client.services import CALL_TIMEOUT_S, Services
from apportion_common.ids import uuid7

from apportion_cli.display import counted, print_line, show_table
from apportion_cli.members import ROLES, Role, role_word
from apportion_cli.options import OwnOrgOption, PrefixOption
from apportion_cli.run import run

app = typer.Typer(help="Who belongs to an organisation, and as what.", no_args_is_help=True)

UserArgument = Annotated[str, typer.Argument(help="Id of a user.")]


@app.command(name="list")
def list_(org: OwnOrgOption, prefix: PrefixOption = "") -> None:
    """Show an organisation's members."""

    async def main(services: Services) -> None:
        names = Names(services, prefix)
        request = identity.ListMembersRequest(org_id=await names.org(org))
        found = await every(services.identity.ListMembers, request, "members")
        rows = [(one.user_id, one.email, role_word(one)) for one in found]
        show_table(counted(len(found), "member"), ("user", "email", "role"), rows)

    run(main)


@app.command()
def role(
    user: UserArgument,
    new_role: Annotated[Role, typer.Argument(case_sensitive=False, help="What the member may do from now on.")],
    org: OwnOrgOption,
    prefix: PrefixOption = "",
) -> None:
    """Change another member's role."""

    async def main(services: Services) -> None:
        names = Names(services, prefix)
        request = identity.SetMemberRoleRequest(
            org_id=await names.org(org), user_id=user, role=ROLES[new_role], request_id=f"role:{uuid7()}"
        )
        member = (await services.identity.SetMemberRole(request, timeout=CALL_TIMEOUT_S)).member
        print_line(f"{member.email} is {role_word(member)} now.")

    run(main)


@app.command()
def remove(user: UserArgument, org: OwnOrgOption, prefix: PrefixOption = "") -> None:
    """End a membership."""

    async def main(services: Services) -> None:
        names = Names(services, prefix)
        request = identity.RemoveMemberRequest(
            org_id=await names.org(org), user_id=user, request_id=f"remove:{uuid7()}"
        )
        await services.identity.RemoveMember(request, timeout=CALL_TIMEOUT_S)
        print_line(f"{user} is no member any more.")

    run(main)
