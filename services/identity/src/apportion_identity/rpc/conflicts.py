"""Conflicts between claims, for operators: proto in, use case, proto out."""

from __future__ import annotations

from typing import Any

from apportion.identity.v1 import identity_service_pb2 as pb
from apportion.identity.v1.identity_service_pb2_grpc import IdentityServiceServicer
from apportion_common.db.idempotency import mutation
from apportion_common.fields import id_of
from apportion_common.pages import page_size, read_token, split_page, time_cursor

from apportion_identity.app.conflicts import Conflicts, ConflictSides
from apportion_identity.rpc.messages import conflict_to_message


class ConflictRpcs(IdentityServiceServicer):
    """The RPCs by which operators see and settle conflicts."""

    _conflicts: Conflicts

    async def ListConflicts(self, request: pb.ListConflictsRequest, context: Any) -> pb.ListConflictsResponse:
        """List conflicts, those due first."""
        size, after = page_size(request.page_size), read_token(request.page_token, time_cursor)
        found = await self._conflicts.page(
            after, size + 1, include_resolved=request.include_resolved, overdue_only=request.overdue_only
        )
        page, token = split_page(found, size, lambda one: (one.conflict.due_at, one.conflict.conflict_id))
        return pb.ListConflictsResponse(conflicts=map(conflict_to_message, page), next_page_token=token)

    async def ResolveConflict(self, request: pb.ResolveConflictRequest, context: Any) -> pb.ResolveConflictResponse:
        """Settle both claims of a conflict."""
        conflict_id = id_of(request.conflict_id, "conflict_id")
        winner = id_of(request.winner_claim_id, "winner_claim_id")
        return await self._conflicts.resolve(mutation(request, _resolved), conflict_id, winner, request.reason)


def _resolved(sides: ConflictSides) -> pb.ResolveConflictResponse:
    return pb.ResolveConflictResponse(conflict=conflict_to_message(sides))
