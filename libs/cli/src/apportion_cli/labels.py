"""Human names of ids, asked from the services once each."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final

import grpc
from apportion_client.names import find_accounts, find_orgs, find_partners, find_plans
from apportion_client.services import Services

PROJECT_CHARS: Final = 8
"""Of a project's id are shown: projects have no name."""

_Find = Callable[[Services, Sequence[str]], Awaitable[Sequence[Any]]]
_NamesOf = Callable[[Any], Sequence[str]]


class Labels:
    """Names of organisations, billing accounts, partners and plans."""

    def __init__(self, services: Services, *, ids: bool = False) -> None:
        """Nothing is asked yet; nothing ever is where ids are to be shown."""
        self._services = services
        self._ids = ids
        self._known: dict[str, str] = {"": ""}

    async def learn(
        self,
        org_ids: Iterable[str] = (),
        account_ids: Iterable[str] = (),
        partner_ids: Iterable[str] = (),
        plan_ids: Iterable[str] = (),
    ) -> None:
        """Ask for the names that are not known yet; an id that nobody knows is its own name."""
        if self._ids:
            return
        await asyncio.gather(
            self._learn(org_ids, find_orgs, lambda match: [match.org.legal_name] if match.HasField("org") else []),
            self._learn(account_ids, find_accounts, lambda match: [one.name for one in match.accounts]),
            self._learn(partner_ids, find_partners, lambda match: [one.name for one in match.partners]),
            self._learn(plan_ids, find_plans, lambda match: [one.name for one in match.plans]),
        )

    def __getitem__(self, one: str) -> str:
        """Return the name of an id, or the id itself."""
        return self._known.get(one, one)

    def distinct(self, ids: Iterable[str]) -> dict[str, str]:
        """Return the names of ids by id; where several have one name, with the id behind it."""
        names = {one: self[one] for one in ids}
        counts = Counter(names.values())
        return {one: name if counts[name] == 1 else f"{name} ({one})" for one, name in names.items()}

    async def _learn(self, ids: Iterable[str], find: _Find, names_of: _NamesOf) -> None:
        unknown = [one for one in dict.fromkeys(ids) if one not in self._known]
        if not unknown:
            return
        try:
            matches = await find(self._services, unknown)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.PERMISSION_DENIED:
                raise
            return
        for match in matches:
            for name in names_of(match):
                self._known[match.name] = name
