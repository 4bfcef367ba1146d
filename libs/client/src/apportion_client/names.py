"""Ids of what people call by name: the service that owns a thing says which one is meant, or that there is none.

An organisation is found by its slug, in either case, a billing account by its name or as owner-slug/name, a partner and
a plan by their names, and each by its id. A partner that a scenario made goes by its code there, too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, Protocol

from apportion.ledger.v1 import ledger_service_pb2 as ledger
from apportion.orgs.v1 import orgs_service_pb2 as orgs
from apportion.pricing.v1 import pricing_service_pb2 as pricing

from apportion_client import naming
from apportion_client.services import CALL_TIMEOUT_S, Services

NAMES_A_CALL: Final = 1_000
"""Names that a service looks up at once."""


class NameUnknownError(LookupError):
    """Nothing, or more than one thing, has a name; the message is a full sentence."""


class _Match(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def nearest(self) -> Sequence[str]: ...


class Names:
    """Looks names up, each once; organisations and accounts under a prefix."""

    def __init__(self, services: Services, prefix: str = "") -> None:
        """Nothing is asked yet."""
        self._services = services
        self._prefix = prefix
        self._ids: dict[tuple[str, str], str] = {}

    async def org(self, name: str) -> str:
        """Return the id of the organisation with a slug or id; empty for an empty name. Raises NameUnknownError."""
        return (await self.orgs([name]))[0] if name else ""

    async def orgs(self, names: Sequence[str]) -> list[str]:
        """Return the ids of organisations, in the order of their names. Raises NameUnknownError."""
        full = [prefixed(name, self._prefix) for name in names]
        asked = [name for name in dict.fromkeys(full) if ("org", name) not in self._ids]
        for match in await find_orgs(self._services, asked):
            if not match.HasField("org"):
                raise unknown("organisation", match)
            self._ids["org", match.name] = match.org.org_id
        return [self._ids["org", name] for name in full]

    async def account(self, name: str) -> str:
        """Return the id of the billing account of a name; empty for an empty name. Raises NameUnknownError."""

        async def look_up(asked: str) -> str:
            (match,) = await find_accounts(self._services, [asked])
            if len(match.accounts) > 1:
                owners = await find_orgs(self._services, [account.owner_org_id for account in match.accounts])
                ways = [f"{owner.org.slug}/{one.name}" for owner, one in zip(owners, match.accounts, strict=True)]
                raise ambiguous("billing accounts", asked, ways, [one.billing_account_id for one in match.accounts])
            return _only("billing account", match, [one.billing_account_id for one in match.accounts])

        return await self._known("account", prefixed(name, self._prefix), look_up) if name else ""

    async def partner(self, name: str) -> str:
        """Return the id of the partner of a name; empty for an empty name. Raises NameUnknownError."""

        async def look_up(asked: str) -> str:
            called, coded = await find_partners(self._services, [asked, str(naming.partner_id(asked))])
            ids = [one.partner_id for one in called.partners or coded.partners]
            if len(ids) > 1:
                raise ambiguous("partners", asked, [], ids)
            return _only("partner", called, ids)

        return await self._known("partner", name, look_up) if name else ""

    async def plan(self, name: str) -> str:
        """Return the id of the plan of a name; empty for an empty name. Raises NameUnknownError."""

        async def look_up(asked: str) -> str:
            (match,) = await find_plans(self._services, [asked])
            ids = [one.plan_id for one in match.plans]
            if len(ids) > 1:
                raise ambiguous("plans", asked, [one.name for one in match.plans], ids)
            return _only("plan", match, ids)

        return await self._known("plan", name, look_up) if name else ""

    async def _known(self, kind: str, name: str, look_up: Callable[[str], Awaitable[str]]) -> str:
        if (kind, name) not in self._ids:
            self._ids[kind, name] = await look_up(name)
        return self._ids[kind, name]


async def find_orgs(services: Services, names: Sequence[str]) -> list[orgs.OrgMatch]:
    """Return which organisation has each name, in their order."""
    return await _found(services.orgs.LookupOrgs, orgs.LookupOrgsRequest, names)


async def find_accounts(services: Services, names: Sequence[str]) -> list[orgs.BillingAccountMatch]:
    """Return which billing accounts have each name, in their order."""
    return await _found(services.orgs.LookupBillingAccounts, orgs.LookupBillingAccountsRequest, names)


async def find_partners(services: Services, names: Sequence[str]) -> list[ledger.PartnerMatch]:
    """Return which partners have each name, in their order."""
    return await _found(services.ledger.LookupPartners, ledger.LookupPartnersRequest, names)


async def find_plans(services: Services, names: Sequence[str]) -> list[pricing.PlanMatch]:
    """Return which plans have each name, in their order."""
    return await _found(services.pricing.LookupPlans, pricing.LookupPlansRequest, names)


def prefixed(name: str, prefix: str) -> str:
    """Return a name under a prefix; an id stands for itself under every one."""
    return name if naming.is_id(name) else f"{prefix}{name}"


def unknown(kind: str, match: _Match) -> NameUnknownError:
    """Return the error for a name that nothing has, with what may have been meant."""
    if naming.is_id(match.name):
        return NameUnknownError(f"No {kind} has the id {match.name}.")
    meant = _either(list(match.nearest))
    return NameUnknownError(f"No {kind} is called {match.name}" + (f"; did you mean {meant}?" if meant else "."))


def ambiguous(kinds: str, name: str, ways: Sequence[str], ids: Sequence[str]) -> NameUnknownError:
    """Return the error for a name that several things have, with names that tell them apart, or else their ids."""
    clear = ways if ways and len(set(ways)) == len(ways) else ids
    return NameUnknownError(f"Several {kinds} are called {name}: say {_either(list(clear))}.")


def _only(kind: str, match: _Match, ids: Sequence[str]) -> str:
    if not ids:
        raise unknown(kind, match)
    return ids[0]


def _either(words: list[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


async def _found(call: Any, request: Callable[..., Any], names: Iterable[str]) -> list[Any]:
    asked = list(names)
    found: list[Any] = []
    for start in range(0, len(asked), NAMES_A_CALL):
        some = asked[start : start + NAMES_A_CALL]
        found += (await call(request(names=some), timeout=CALL_TIMEOUT_S)).matches
    return found
