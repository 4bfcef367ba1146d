"""Organisations and their hierarchy: proto in, use case, proto out."""

from __future__ import annotations

from typing import Any

from apportion.orgs.v1 import orgs_service_pb2 as pb
from apportion.orgs.v1.orgs_service_pb2_grpc import OrgsServiceServicer
from apportion_common.db.idempotency import run_mutation
from apportion_common.db.unit_of_work import Database, Transaction
from apportion_common.pages import page_size, read_token, split_page

from apportion_orgs.app.hierarchy import Hierarchy
from apportion_orgs.app.messages import org_at_message, org_message
from apportion_orgs.app.organizations import Organizations
from apportion_orgs.rpc.mapping import id_of, new_org


class OrganizationRpcs(OrgsServiceServicer):
    """The RPCs about organisations and who is above whom."""

    _database: Database
    _organizations: Organizations
    _hierarchy: Hierarchy

    async def CreateOrg(self, request: pb.CreateOrgRequest, context: Any) -> pb.CreateOrgResponse:
        """Add a root organisation, or a child where a parent is named."""
        new = new_org(request)

        async def work(tx: Transaction) -> pb.CreateOrgResponse:
            org, revision = await self._organizations.create(tx, new)
            return pb.CreateOrgResponse(org=org_message(org), revision=revision)

        return await run_mutation(self._database, "CreateOrg", request, pb.CreateOrgResponse, work)

    async def GetOrg(self, request: pb.GetOrgRequest, context: Any) -> pb.GetOrgResponse:
        """Read an organisation."""
        async with self._database.read() as connection:
            org = await self._organizations.get(connection, id_of(request.org_id, "org_id"))
        return pb.GetOrgResponse(org=org_message(org))

    async def AddChild(self, request: pb.AddChildRequest, context: Any) -> pb.AddChildResponse:
        """Put an existing root organisation under a parent."""
        parent, child = id_of(request.parent_org_id, "parent_org_id"), id_of(request.child_org_id, "child_org_id")

        async def work(tx: Transaction) -> pb.AddChildResponse:
            return pb.AddChildResponse(revision=await self._hierarchy.add_child(tx, parent, child))

        return await run_mutation(self._database, "AddChild", request, pb.AddChildResponse, work)

    async def ListDescendants(self, request: pb.ListDescendantsRequest, context: Any) -> pb.ListDescendantsResponse:
        """List what is below an organisation, by depth."""
        size = page_size(request.page_size)
        after = read_token(request.page_token, lambda depth, slug: (int(depth), str(slug)))
        async with self._database.read(snapshot=True) as connection:
            found = await self._hierarchy.descendants(connection, id_of(request.org_id, "org_id"), after, size + 1)
        page, token = split_page(found, size, lambda at: (at.depth, at.org.slug))
        return pb.ListDescendantsResponse(orgs=map(org_at_message, page), next_page_token=token)

    async def ListAncestors(self, request: pb.ListAncestorsRequest, context: Any) -> pb.ListAncestorsResponse:
        """List what is above an organisation, nearest first."""
        async with self._database.read(snapshot=True) as connection:
            found = await self._hierarchy.ancestors(connection, id_of(request.org_id, "org_id"))
        return pb.ListAncestorsResponse(orgs=map(org_at_message, found))

    async def GetTree(self, request: pb.GetTreeRequest, context: Any) -> pb.GetTreeResponse:
        """Read a whole tree in one query."""
        async with self._database.read() as connection:
            found = await self._hierarchy.tree(connection, id_of(request.root_org_id, "root_org_id"))
        return pb.GetTreeResponse(orgs=map(org_at_message, found))

    async def CheckHierarchy(self, request: pb.CheckHierarchyRequest, context: Any) -> pb.CheckHierarchyResponse:
        """Prove that the closure equals what the parent pointers imply."""
        async with self._database.read() as connection:
            wrong = await self._hierarchy.check(connection)
        examples = [f"{ancestor}/{descendant}" for ancestor, descendant in wrong]
        return pb.CheckHierarchyResponse(holds=not wrong, examples=examples)
