"""The organisations that rows name: asked of the service that owns them, each once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol
from uuid import UUID

from apportion_client import naming
from apportion_client.names import find_orgs, prefixed, unknown
from apportion_client.services import Services
from apportion_common.ids import NIL_UUID

from apportion_cli.ingest.rows import RowRejected

UNKNOWN_ORG: Final = "UNKNOWN_ORG"
"""Reason of a row whose organisation nobody has, as of the dead letter that it would become."""
NO_ORG: Final = ("ID_MALFORMED", "The row names no organisation.")
"""Reason and message of a row of nobody, whether or not unknown organisations are sent."""


class OrgIds(Protocol):
    """Ids of organisations by how rows name them."""

    async def learn(self, names: Iterable[str]) -> None:
        """Find the organisations of names that were not asked about yet."""
        ...

    def id_of(self, name: str) -> UUID:
        """Return the id of an organisation that was asked about. Raises RowRejected UNKNOWN_ORG."""
        ...


class FoundOrgs:
    """Organisations by slug or id, as orgs knows them."""

    def __init__(self, services: Services, prefix: str, *, send_unknown: bool) -> None:
        """Under a prefix; rows of an organisation that nobody has are rejected, or sent under an id of its name."""
        self._services = services
        self._prefix = prefix
        self._send_unknown = send_unknown
        self._ids: dict[str, UUID] = {}
        self._rejected: dict[str, tuple[str, str]] = {}

    async def learn(self, names: Iterable[str]) -> None:
        """Find the organisations of names that were not asked about yet."""
        new = [name for name in dict.fromkeys(names) if name not in self._ids and name not in self._rejected]
        asked = [name for name in new if name.strip() and name != NIL_UUID]
        self._rejected |= dict.fromkeys(set(new) - set(asked), NO_ORG)
        if not asked:
            return
        matches = await find_orgs(self._services, [prefixed(name, self._prefix) for name in asked])
        for name, match in zip(asked, matches, strict=True):
            if match.HasField("org"):
                self._ids[name] = UUID(match.org.org_id)
                continue
            self._ids[name] = naming.org_id(name, self._prefix)
            if not self._send_unknown:
                self._rejected[name] = (UNKNOWN_ORG, str(unknown("organisation", match)))

    def id_of(self, name: str) -> UUID:
        """Return the id of an organisation that was asked about. Raises RowRejected UNKNOWN_ORG or ID_MALFORMED."""
        if name in self._rejected:
            raise RowRejected(*self._rejected[name])
        return self._ids[name]
