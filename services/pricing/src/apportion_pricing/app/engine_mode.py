"""The rating engine's mode: off, shadow or live, per organisation with a default (spec 03, "Engine modes")."""

from __future__ import annotations

from uuid import UUID

from apportion_common.db.actor import current_actor
from apportion_common.db.head import next_revision
from apportion_common.db.unit_of_work import Transaction

from apportion_pricing import errors
from apportion_pricing.app.catalog_cache import LIVE
from apportion_pricing.app.ports import EngineModeRow, EntitlementStore


class EngineModeUseCases:
    """Sets the mode, behind the gate: live needs a parity proof, or an override where the profile allows one."""

    def __init__(self, store: EntitlementStore, gate_override: str | None) -> None:
        """`gate_override` names the profile that allows an override; None: there is none."""
        self._store = store
        self._gate_override = gate_override

    async def set_mode(self, tx: Transaction, org_id: bytes | None, mode: str, override_reason: str) -> int:
        """Set the mode of an organisation, or the default of all (None); gives the revision.

        Raises FailedPrecondition PARITY_NOT_PROVED. The database refuses a live mode without proof or reason, too.
        """
        reason = override_reason.strip()
        if mode == LIVE:
            self._check_gate(reason)
        revision = await next_revision(tx)
        before = await self._store.mode(tx.connection, org_id)
        row = EngineModeRow(org_id, mode, revision)
        await self._store.add_mode(tx, row, reason, current_actor(tx.service).subject)
        subject = UUID(bytes=org_id) if org_id is not None else None
        await tx.audit(
            "engine_mode.override" if mode == LIVE else "engine_mode.set",
            f"engine_mode/{subject or 'default'}",
            org_id=subject,
            before={"mode": before.mode, "revision": before.revision} if before is not None else None,
            after={
                "mode": mode,
                "override_reason": reason,
                "gate_override": self._gate_override if mode == LIVE else None,
                "revision": revision,
            },
        )
        return revision

    def _check_gate(self, reason: str) -> None:
        if not self._gate_override:
            raise errors.parity_not_proved("No parity run has passed, and this profile allows no override.")
        if not reason:
            raise errors.parity_not_proved("No parity run has passed; this profile allows an override with a reason.")
