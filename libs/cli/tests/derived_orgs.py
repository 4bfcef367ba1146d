"""Organisations that need no service: each under the id that a scenario gives it."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from apportion_client import naming


class DerivedOrgs:
    """Ids of organisations by their codes, under a prefix."""

    def __init__(self, prefix: str = "") -> None:
        self.prefix = prefix

    async def learn(self, names: Iterable[str]) -> None:
        """Nothing is to be asked."""

    def id_of(self, name: str) -> UUID:
        return naming.org_id(name, self.prefix)
