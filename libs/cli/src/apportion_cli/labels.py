"""Human names of ids, asked from the services once each."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable

import grpc
from apportion.ledger.v1 import ledger_service_pb2 as ledger
from apportion.orgs.v1 import orgs_service_pb2 as orgs
from apportion_client.services import CALL_TIMEOUT_S, Services

PROJECT_CHARS = 8
"""Of a project's id are shown: projects have no name."""


class Labels:
    """Names of organisations, billing accounts and partners."""

    def __init__(self, services: Services) -> None:
        """Nothing is asked yet."""
        self._services = services
        self._known: dict[str, str] = {"": ""}

    async def learn(
        self, org_ids: Iterable[str] = (), account_ids: Iterable[str] = (), partner_ids: Iterable[str] = ()
    ) -> None:
        """Ask for the names that are not known yet; an id that nobody knows is its own name."""
        asks: dict[str, Callable[[str], Awaitable[str]]] = {
            **dict.fromkeys(org_ids, self._org),
            **dict.fromkeys(account_ids, self._account),
            **dict.fromkeys(partner_ids, self._partner),
        }
        unknown = [one for one in asks if one not in self._known]
        names = await asyncio.gather(*(self._asked(asks[one], one) for one in unknown))
        self._known.update(zip(unknown, names, strict=True))

    def __getitem__(self, one: str) -> str:
        """Return the name of an id, or the id itself."""
        return self._known.get(one, one)

    def distinct(self, ids: Iterable[str]) -> dict[str, str]:
        """Return the names of ids by id; where several have one name, with the id behind it."""
        names = {one: self[one] for one in ids}
        counts = Counter(names.values())
        return {one: name if counts[name] == 1 else f"{name} ({one})" for one, name in names.items()}

    async def _asked(self, ask: Callable[[str], Awaitable[str]], one: str) -> str:
        try:
            return await ask(one)
        except grpc.aio.AioRpcError as error:
            if error.code() in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.PERMISSION_DENIED):
                return one
            raise

    async def _org(self, one: str) -> str:
        answer = await self._services.orgs.GetOrg(orgs.GetOrgRequest(org_id=one), timeout=CALL_TIMEOUT_S)
        return str(answer.org.legal_name)

    async def _account(self, one: str) -> str:
        request = orgs.GetBillingAccountRequest(billing_account_id=one)
        answer = await self._services.orgs.GetBillingAccount(request, timeout=CALL_TIMEOUT_S)
        return str(answer.billing_account.name)

    async def _partner(self, one: str) -> str:
        request = ledger.GetPartnerStatementRequest(partner_id=one)
        answer = await self._services.ledger.GetPartnerStatement(request, timeout=CALL_TIMEOUT_S)
        return str(answer.partner.name)
