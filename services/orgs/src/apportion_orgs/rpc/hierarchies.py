"""The RPCs about the trees of organisations."""

from __future__ import annotations

from typing import Any

from apportion.orgs.v1 import orgs_service_pb2 as pb
from apportion.orgs.v1.orgs_service_pb2_grpc import OrgsServiceServicer
from apportion_common.db.idempotency import mutation
from apportion_common.fields import id_of
from apportion_common.pages import int_of, page_size, read_token, split_page

from apportion_orgs.app.hierarchies import Hierarchies
from apportion_orgs.rpc.messages import org_at_depth_to_message


class HierarchyRpcs(OrgsServiceServicer):
    """Changes and reads trees."""

    hierarchies: Hierarchies

    async def AddChild(self, request: pb.AddChildRequest, context: Any) -> pb.AddChildResponse:
        """Put an existing root organisation under a parent."""
        parent, child = id_of(request.parent_org_id, "parent_org_id"), id_of(request.child_org_id, "child_org_id")
        return await self.hierarchies.add_child(mutation(request, _added), parent, child)

    async def ListDescendants(self, request: pb.ListDescendantsRequest, context: Any) -> pb.ListDescendantsResponse:
        """List what is below an organisation, by depth."""
        size, after = page_size(request.page_size), read_token(request.page_token, _depth_and_slug)
        found = await self.hierarchies.descendants(id_of(request.org_id, "org_id"), after, size + 1)
        page, token = split_page(found, size, lambda at: (at.depth, at.org.slug))
        return pb.ListDescendantsResponse(orgs=map(org_at_depth_to_message, page), next_page_token=token)

    async def ListAncestors(self, request: pb.ListAncestorsRequest, context: Any) -> pb.ListAncestorsResponse:
        """List what is above an organisation, nearest first."""
        found = await self.hierarchies.ancestors(id_of(request.org_id, "org_id"))
        return pb.ListAncestorsResponse(orgs=map(org_at_depth_to_message, found))

    async def GetTree(self, request: pb.GetTreeRequest, context: Any) -> pb.GetTreeResponse:
        """Return a whole tree, read in one query."""
        found = await self.hierarchies.tree(id_of(request.root_org_id, "root_org_id"))
        return pb.GetTreeResponse(orgs=map(org_at_depth_to_message, found))

    async def CheckHierarchy(self, request: pb.CheckHierarchyRequest, context: Any) -> pb.CheckHierarchyResponse:
        """Prove that the closure equals what the parent pointers imply."""
        wrong = await self.hierarchies.check()
        examples = [f"{ancestor}/{descendant}" for ancestor, descendant in wrong]
        return pb.CheckHierarchyResponse(holds=not wrong, examples=examples)


def _added(revision: int) -> pb.AddChildResponse:
    return pb.AddChildResponse(revision=revision)


def _depth_and_slug(depth: str, slug: str) -> tuple[int, str]:
    return int_of(depth, bits=16), slug
