"""What requests say, as the use cases take it."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from apportion_common.errors import ApportionError
from apportion_common.ids import parse_uuid

from apportion_identity.app.ports.common import Place


def id_of(text: str, field: str) -> UUID:
    """The id in a field. Raises InvalidArgument ID_MALFORMED."""
    try:
        return parse_uuid(text)
    except ApportionError as error:
        error.field = field
        raise


def place_of(at: str, row_id: str) -> Place:
    """The place in a list that is newest first, from a page token's texts. Raises ValueError or ApportionError."""
    instant = datetime.fromisoformat(at)
    if instant.tzinfo is None:
        raise ValueError("The instant has no zone.")
    return instant, parse_uuid(row_id)
