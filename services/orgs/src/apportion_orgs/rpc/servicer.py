"""OrgsService, put together by subject. What is not built is inherited and answers UNIMPLEMENTED."""

from __future__ import annotations

from apportion_common.db.audit_query import AuditTrail

from apportion_orgs.app.billing_accounts import BillingAccounts
from apportion_orgs.app.hierarchies import Hierarchies
from apportion_orgs.app.invoices import Invoices
from apportion_orgs.app.lookups import Lookups
from apportion_orgs.app.mappings import Mappings
from apportion_orgs.app.organizations import Organizations
from apportion_orgs.app.period_reopenings import PeriodReopenings
from apportion_orgs.rpc.audit import AuditRpcs
from apportion_orgs.rpc.billing_accounts import BillingAccountRpcs
from apportion_orgs.rpc.hierarchies import HierarchyRpcs
from apportion_orgs.rpc.invoices import InvoiceRpcs
from apportion_orgs.rpc.mappings import MappingRpcs
from apportion_orgs.rpc.organizations import OrganizationRpcs
from apportion_orgs.rpc.periods import PeriodRpcs


class OrgsServicer(
    OrganizationRpcs, HierarchyRpcs, BillingAccountRpcs, MappingRpcs, InvoiceRpcs, PeriodRpcs, AuditRpcs
):
    """The RPCs of orgs that are built."""

    def __init__(
        self,
        *,
        lookups: Lookups,
        organizations: Organizations,
        hierarchies: Hierarchies,
        billing_accounts: BillingAccounts,
        mappings: Mappings,
        invoices: Invoices,
        periods: PeriodReopenings,
        audit: AuditTrail,
    ) -> None:
        """Answer by these use cases."""
        self.lookups = lookups
        self.organizations = organizations
        self.hierarchies = hierarchies
        self.billing_accounts = billing_accounts
        self.mappings = mappings
        self.invoices = invoices
        self.periods = periods
        self.audit = audit
