"""Conflicts between claims, for operators: proto in, use case, proto out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from apportion.identity.v1 import identity_service_pb2 as pb
from apportion.identity.v1.identity_service_pb2_grpc import IdentityServiceServicer
from apportion_common.db.idempotency import run_mutation
from apportion_common.db.unit_of_work import Database, Transaction
from apportion_common.pages import page_size, read_token, split_page
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_identity.app.claim_messages import conflict_message
from apportion_identity.app.conflicts import Conflicts, decided, read_terms
from apportion_identity.app.ports.claims import ConflictRecord
from apportion_identity.app.settings import GlobalSettings
from apportion_identity.rpc.values import id_of, place_of


class ConflictRpcs(IdentityServiceServicer):
    """The RPCs by which operators see and settle conflicts."""

    _database: Database
    _conflicts: Conflicts
    _settings: GlobalSettings

    async def ListConflicts(self, request: pb.ListConflictsRequest, context: Any) -> pb.ListConflictsResponse:
        """List conflicts, those due first."""
        size, after = page_size(request.page_size), read_token(request.page_token, place_of)
        async with self._database.read(snapshot=True) as connection:
            found = await self._conflicts.page(
                connection,
                after,
                size + 1,
                include_resolved=request.include_resolved,
                overdue_at=self._database.clock.now() if request.overdue_only else None,
            )
            page, token = split_page(found, size, lambda one: (one.due_at.isoformat(), one.conflict_id))
            conflicts = await self._messages(connection, page)
        return pb.ListConflictsResponse(conflicts=conflicts, next_page_token=token)

    async def ResolveConflict(self, request: pb.ResolveConflictRequest, context: Any) -> pb.ResolveConflictResponse:
        """Settle both claims of a conflict."""
        conflict_id = id_of(request.conflict_id, "conflict_id")
        winner = id_of(request.winner_claim_id, "winner_claim_id")
        terms = await read_terms(self._settings)

        async def work(tx: Transaction) -> pb.ResolveConflictResponse:
            settled = await self._conflicts.resolve(tx, conflict_id, winner, request.reason, terms)
            (message,) = await self._messages(tx.connection, [settled])
            return pb.ResolveConflictResponse(conflict=message)

        return await decided(
            lambda: run_mutation(self._database, "ResolveConflict", request, pb.ResolveConflictResponse, work)
        )

    async def _messages(
        self, connection: AsyncConnection, conflicts: Sequence[ConflictRecord]
    ) -> list[pb.ClaimConflict]:
        sides = await self._conflicts.sides(connection, conflicts)
        return [conflict_message(one, sides[one.claim_id], sides[one.against_claim_id]) for one in conflicts]
