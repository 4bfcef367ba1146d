"""What the use cases need of the outside."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol
from uuid import UUID

from apportion_identity.domain.mail.types import DnsAnswer, DnsQuestion


class DnsLookup(Protocol):
    """The DNS, asked many questions at once."""

    async def ask(self, questions: Iterable[DnsQuestion]) -> dict[DnsQuestion, DnsAnswer]:
        """Return an answer to each question. Failures are answers too (servfail, timeout): nothing is raised."""
        ...


class OrgsClient(Protocol):
    """The orgs service, as delegation needs it."""

    async def is_subsidiary(self, org_id: UUID, of_org_id: UUID) -> bool:
        """Return whether one organisation stands below another. Raises Unavailable ORGS_UNAVAILABLE."""
        ...
