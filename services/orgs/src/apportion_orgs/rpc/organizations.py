"""The RPCs about organisations."""

from __future__ import annotations

from typing import Any

from apportion.orgs.v1 import orgs_service_pb2 as pb
from apportion.orgs.v1.orgs_service_pb2_grpc import OrgsServiceServicer
from apportion_common.db.idempotency import mutation
from apportion_common.fields import id_of, optional_id
from apportion_common.names import NameMatch
from apportion_common.pages import page_size, read_token, split_page

from apportion_orgs.app.events import org_to_message
from apportion_orgs.app.lookups import Lookups
from apportion_orgs.app.organizations import CreatedOrg, Organizations
from apportion_orgs.domain.organizations import Org
from apportion_orgs.rpc.messages import new_org_from_message


class OrganizationRpcs(OrgsServiceServicer):
    """Creates, finds and lists organisations."""

    organizations: Organizations
    lookups: Lookups

    async def CreateOrg(self, request: pb.CreateOrgRequest, context: Any) -> pb.CreateOrgResponse:
        """Add a root organisation, or a child where a parent is named."""
        return await self.organizations.create(mutation(request, _created), new_org_from_message(request))

    async def GetOrg(self, request: pb.GetOrgRequest, context: Any) -> pb.GetOrgResponse:
        """Return an organisation."""
        org = await self.organizations.get(id_of(request.org_id, "org_id"))
        return pb.GetOrgResponse(org=org_to_message(org))

    async def LookupOrgs(self, request: pb.LookupOrgsRequest, context: Any) -> pb.LookupOrgsResponse:
        """Return the organisation of each slug or id, and what comes nearest to one that nobody has."""
        matches = await self.lookups.orgs(request.names)
        return pb.LookupOrgsResponse(matches=map(_match_to_message, matches))

    async def ListOrgs(self, request: pb.ListOrgsRequest, context: Any) -> pb.ListOrgsResponse:
        """List organisations by slug. NOT_FOUND ORG_NOT_FOUND, INVALID_ARGUMENT PAGE_TOKEN_MALFORMED."""
        size, after = page_size(request.page_size), read_token(request.page_token, str)
        parent = optional_id(request.parent_org_id, "parent_org_id")
        found = await self.organizations.page(parent, request.slug_prefix, request.search, after, size + 1)
        page, token = split_page(found, size, lambda org: (org.slug,))
        return pb.ListOrgsResponse(orgs=map(org_to_message, page), next_page_token=token)


def _match_to_message(match: NameMatch[Org]) -> pb.OrgMatch:
    org = next(iter(match.found), None)
    name = None if org is None else pb.OrgName(org_id=str(org.org_id), slug=org.slug, legal_name=org.legal_name)
    return pb.OrgMatch(name=match.name, org=name, nearest=match.nearest)


def _created(created: CreatedOrg) -> pb.CreateOrgResponse:
    return pb.CreateOrgResponse(org=org_to_message(created.org), revision=created.revision)
