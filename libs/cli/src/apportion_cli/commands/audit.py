"""`apportion audit`: who changed what in a service."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final

import typer
from apportion.common.v1 import audit_pb2
from apportion.identity.v1 import identity_service_pb2 as identity
from apportion.ledger.v1 import ledger_service_pb2 as ledger
from apportion.metering.v1 import metering_service_pb2 as metering
from apportion.orgs.v1 import orgs_service_pb2 as orgs
from apportion.pricing.v1 import pricing_service_pb2 as pricing
from apportion_client.names import Names
from apportion_client.pages import audit_of
from apportion_client.services import Services
from google.protobuf.json_format import MessageToDict
from google.protobuf.timestamp_pb2 import Timestamp

from apportion_cli.display import counted, print_line, when
from apportion_cli.options import OrgOption, PrefixOption
from apportion_cli.run import run


class Service(StrEnum):
    """Whose audit is asked for."""

    IDENTITY = "identity"
    PRICING = "pricing"
    METERING = "metering"
    LEDGER = "ledger"
    ORGS = "orgs"


OLD_INSTANTS: Final = ("_at_us", "_time_us", "until_us")
"""Ends of the names of instants in entries from before they were written as times."""
REQUESTS: Final = {
    Service.IDENTITY: identity.ListAuditRequest,
    Service.PRICING: pricing.ListAuditRequest,
    Service.METERING: metering.ListAuditRequest,
    Service.LEDGER: ledger.ListAuditRequest,
    Service.ORGS: orgs.ListAuditRequest,
}


def audit(
    service: Annotated[Service, typer.Argument(help="Whose audit.")],
    org: OrgOption = "",
    resource: Annotated[str, typer.Option(help="Only of this one, such as domain_claim/ID.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="Entries at most.")] = 50,
    prefix: PrefixOption = "",
) -> None:
    """Show what was changed in a service, by whom and from what to what, newest first; for operators."""

    async def main(services: Services) -> None:
        query = audit_pb2.AuditQuery(org_id=await Names(services, prefix).org(org), resource=resource)
        ask = getattr(services, service.value).ListAudit
        found = [entry async for entry in audit_of(ask, REQUESTS[service](query=query), limit)]
        print_line(f"{counted(len(found), 'change')} in {service.value}", "bold")
        for entry in found:
            by = f"{entry.actor} for {entry.acting_for}" if entry.acting_for else entry.actor
            print_line("")
            print_line(f"{when(entry.at)}  {entry.action}  {entry.resource}  by {by}")
            for line in changes(entry):
                print_line(f"  {line}")

    run(main)


def changes(entry: audit_pb2.AuditEntry) -> list[str]:
    """Return what an entry says was changed: `name: before → after`, and only the value of what was not there
    before.
    """
    before, after = _plain(MessageToDict(entry.before)), _plain(MessageToDict(entry.after))
    names = sorted({*before, *after})
    changed = [name for name in names if _known(before.get(name)) != _known(after.get(name))]
    return [_change(name, before.get(name), after.get(name)) for name in changed]


def _known(value: Any) -> Any:
    return None if value == "" else value


def _change(name: str, before: Any, after: Any) -> str:
    return f"{name}: {_text(after)}" if before in (None, "") else f"{name}: {_text(before)} → {_text(after)}"


def _text(value: Any) -> str:
    match value:
        case None | "":
            return "nothing"
        case bool():
            return "yes" if value else "no"
        case float() if value.is_integer():
            # A Struct has no whole numbers.
            return str(int(value))
        case {"value": str(decimal), **more} if not more:
            return decimal
        case dict():
            return "{" + ", ".join(f"{name}: {_text(inner)}" for name, inner in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(_text, value)) + "]"
    return str(value)


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    """Return fields with instants as times, also those of entries that were written as microseconds."""
    return dict(_instant(name, value) for name, value in fields.items())


def _instant(name: str, value: Any) -> tuple[str, Any]:
    if isinstance(value, dict):
        return name, _plain(value)
    if isinstance(value, list):
        return name, [_instant("", inner)[1] for inner in value]
    if name.endswith(OLD_INSTANTS) and isinstance(value, float | str):
        stamp = Timestamp()
        stamp.FromMicroseconds(int(value))
        return name.removesuffix("_us"), stamp.ToJsonString()
    return name, value
