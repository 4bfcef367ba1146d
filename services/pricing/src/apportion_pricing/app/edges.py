"""What the use cases need of other services; `adapters` provides it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from apportion_pricing.domain.accounts import Need, OrgsAnswer


class OrgsClient(Protocol):
    """The orgs service."""

    async def resolve(self, items: Sequence[Need], as_of_revision: int) -> OrgsAnswer:
        """Return the billing account of each (organisation, instant in microseconds); revision 0 asks for the newest.

        Raises Unavailable ORGS_UNAVAILABLE when orgs cannot say now.
        """
        ...
