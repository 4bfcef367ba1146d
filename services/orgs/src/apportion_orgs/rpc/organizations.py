"""The RPCs about organisations."""

from __future__ import annotations

from typing import Any

from apportion.orgs.v1 import orgs_service_pb2 as pb
from apportion.orgs.v1.orgs_service_pb2_grpc import OrgsServiceServicer
from apportion_common.db.idempotency import mutation
from apportion_common.fields import id_of

from apportion_orgs.app.events import org_to_message
from apportion_orgs.app.organizations import CreatedOrg, Organizations
from apportion_orgs.rpc.messages import new_org_from_message


class OrganizationRpcs(OrgsServiceServicer):
    """Creates and reads organisations."""

    organizations: Organizations

    async def CreateOrg(self, request: pb.CreateOrgRequest, context: Any) -> pb.CreateOrgResponse:
        """Add a root organisation, or a child where a parent is named."""
        return await self.organizations.create(mutation(request, _created), new_org_from_message(request))

    async def GetOrg(self, request: pb.GetOrgRequest, context: Any) -> pb.GetOrgResponse:
        """Return an organisation."""
        org = await self.organizations.get(id_of(request.org_id, "org_id"))
        return pb.GetOrgResponse(org=org_to_message(org))


def _created(created: CreatedOrg) -> pb.CreateOrgResponse:
    return pb.CreateOrgResponse(org=org_to_message(created.org), revision=created.revision)
