"""OrgsService, put together by subject. What is not built is inherited and answers UNIMPLEMENTED."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from apportion.orgs.v1 import orgs_service_pb2 as pb
from apportion_common.db.unit_of_work import Database

from apportion_orgs.app.billing_accounts import BillingAccounts
from apportion_orgs.app.hierarchy import Hierarchy
from apportion_orgs.app.invoices import Invoices
from apportion_orgs.app.mappings import Mappings
from apportion_orgs.app.organizations import Organizations
from apportion_orgs.app.ports import AuditTrail
from apportion_orgs.app.resolve import ResolveAccounts
from apportion_orgs.rpc.billing_rpcs import BillingRpcs
from apportion_orgs.rpc.invoice_rpcs import InvoiceRpcs
from apportion_orgs.rpc.organization_rpcs import OrganizationRpcs


@dataclass(frozen=True, slots=True)
class UseCases:
    """What the RPCs do."""

    organizations: Organizations
    hierarchy: Hierarchy
    billing_accounts: BillingAccounts
    mappings: Mappings
    resolve: ResolveAccounts
    invoices: Invoices
    audit: AuditTrail


class OrgsServicer(OrganizationRpcs, BillingRpcs, InvoiceRpcs):
    """The RPCs of orgs that are built."""

    def __init__(self, database: Database, use_cases: UseCases) -> None:
        """Answer from these use cases, each call in its own transaction."""
        self._database = database
        self._organizations = use_cases.organizations
        self._hierarchy = use_cases.hierarchy
        self._billing_accounts = use_cases.billing_accounts
        self._mappings = use_cases.mappings
        self._resolve = use_cases.resolve
        self._invoices = use_cases.invoices
        self._audit = use_cases.audit

    async def ListAudit(self, request: pb.ListAuditRequest, context: Any) -> pb.ListAuditResponse:
        """List this service's audit entries, newest first."""
        entries, token = await self._audit.page(request.query)
        return pb.ListAuditResponse(entries=entries, next_page_token=token)
