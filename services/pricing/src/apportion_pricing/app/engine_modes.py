"""The rating engine's mode: off, shadow or live, per organisation with a default (spec 03, "Engine modes")."""

from __future__ import annotations

from typing import TypeVar
from uuid import UUID

from apportion_common.db.actor import current_actor
from apportion_common.db.head import next_revision
from apportion_common.db.idempotency import Mutation, run_mutation
from apportion_common.db.unit_of_work import Database, Transaction
from google.protobuf.message import Message

from apportion_pricing import errors
from apportion_pricing.domain.engine_mode import EngineMode, EngineModeRow
from apportion_pricing.store.engine_modes import EngineModeStore

Answer = TypeVar("Answer", bound=Message)


class EngineModes:
    """Sets the mode, behind the gate: live needs a parity proof, or an override where the profile allows one."""

    def __init__(self, database: Database, store: EngineModeStore, gate_override: str | None) -> None:
        """`gate_override` names the profile that allows an override; None: there is none."""
        self._database = database
        self._store = store
        self._gate_override = gate_override

    async def set(
        self, mutation: Mutation[int, Answer], org_id: bytes | None, mode: EngineMode, override_reason: str
    ) -> Answer:
        """Set the mode of an organisation, or the default of all (None); the outcome is the revision.

        Raises FailedPrecondition PARITY_NOT_PROVED. The database refuses a live mode without proof or reason, too.
        """
        reason = override_reason.strip()
        live = mode is EngineMode.LIVE

        async def work(tx: Transaction) -> int:
            if live:
                self._check_gate(reason)
            revision = await next_revision(tx)
            before = await self._store.newest(tx.connection, org_id)
            await self._store.add(tx, EngineModeRow(org_id, mode, revision), reason, current_actor(tx.service).subject)
            subject = UUID(bytes=org_id) if org_id is not None else None
            await tx.audit(
                "engine_mode.override" if live else "engine_mode.set",
                f"engine_mode/{subject or 'default'}",
                org_id=subject,
                before={"mode": before.mode.value, "revision": before.revision} if before is not None else None,
                after={
                    "mode": mode.value,
                    "override_reason": reason,
                    "gate_override": self._gate_override if live else None,
                    "revision": revision,
                },
            )
            return revision

        return await run_mutation(self._database, mutation, work)

    def _check_gate(self, reason: str) -> None:
        if not self._gate_override:
            raise errors.parity_not_proved("No parity run has passed, and this profile allows no override.")
        if not reason:
            raise errors.parity_not_proved("No parity run has passed; this profile allows an override with a reason.")
