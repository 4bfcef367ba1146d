"""request_record, which the common library writes: whether a call has its answer already."""

from __future__ import annotations

from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_identity.store.tables import shared

_ANSWERED: Final = text(
    f"SELECT EXISTS (SELECT FROM {shared.request_record.name} WHERE subject = :subject AND request_id = :request_id)"
)


class RequestRecordStore:
    """Answers of mutations."""

    async def is_answered(self, connection: AsyncConnection, subject: str, request_id: str) -> bool:
        """Return whether a mutation of this caller with this request id has been answered."""
        found = await connection.execute(_ANSWERED, {"subject": subject, "request_id": request_id})
        return bool(found.scalar_one())
