"""identity on a real database, with an outside that a test fills; harnesses by subject add what their tests need."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

import pytest
from apportion_common.caller import Caller, acting_as
from apportion_common.db.unit_of_work import Database
from apportion_common.errors import ApportionError
from apportion_common.rate_limit import RateLimit
from apportion_dev.testing.clocks import FixedClock
from apportion_dev.testing.databases import ServiceDatabase, fetch_all
from apportion_identity.adapters.issuer_keys import IssuerKeys, OidcIssuer
from apportion_identity.adapters.sealing import SealingKeys
from apportion_identity.adapters.suffixes import PackagedSuffixes
from apportion_identity.app.tokens import TokenScope
from apportion_identity.domain.mail.types import DnsAnswer, DnsQuestion
from apportion_identity.rpc.servicer import Rates, UseCases
from apportion_identity.wiring import Outside, Parts, make_parts, make_rates
from mail_maker import FakeDns
from sqlalchemy.ext.asyncio import AsyncEngine

NAMES = UUID("3f0d6a3e-6d0b-4f43-8f5e-7f0b1a9c2d11")
NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
SCOPE = TokenScope("https://identity.test", "apportion")
MAIL_DOMAIN = "claims.apportion.dev"
SEALING_KEY = bytes(range(32))
PROOF_KEY = bytes(range(32))
OPERATOR = Caller("service_account:ops", frozenset({"operator"}))
PEER = "ipv4:192.0.2.1:4711"
SUFFIXES = PackagedSuffixes()


def org_id(name: str) -> str:
    return str(uuid5(NAMES, f"org {name}"))


def user_id(name: str) -> str:
    return str(uuid5(NAMES, f"user {name}"))


class FakeContext:
    """Of a call in progress, where it comes from."""

    def __init__(self, peer: str) -> None:
        self._peer = peer

    def peer(self) -> str:
        return self._peer


class TroubledDns(FakeDns):
    """A DNS that fails foreverything while it is down."""

    down: str = ""

    async def ask(self, questions: Iterable[DnsQuestion]) -> dict[DnsQuestion, DnsAnswer]:
        if self.down:
            return {question: DnsAnswer(self.down) for question in questions}  # type: ignore[arg-type]
        await asyncio.sleep(0)
        return self.answer(questions)


@dataclass
class FakeOrgs:
    """Who stands below whom; a test may take it away."""

    below: set[tuple[str, str]] = field(default_factory=set)
    failure: ApportionError | None = None
    asked: int = 0

    async def is_subsidiary(self, org_id: UUID, of_org_id: UUID) -> bool:
        self.asked += 1
        if self.failure is not None:
            raise self.failure
        return (str(org_id), str(of_org_id)) in self.below


class IdentityHarness:
    """Calls RPCs as somebody; every call has a request id of its own unless one is given. The clock stands."""

    def __init__(
        self,
        place: ServiceDatabase,
        *issuers: OidcIssuer,
        at: datetime = NOON,
        engine: AsyncEngine | None = None,
        rate: int | None = None,
    ) -> None:
        """Work on a database, through an engine that has more connections than usual if it is given."""
        self.place = place
        self.issuers = issuers
        self.clock = FixedClock(at)
        self.database = Database(engine or place.engine, place.service, self.clock)
        self.dns = TroubledDns()
        self.orgs = FakeOrgs()
        self.outside = Outside(
            token_scope=SCOPE,
            sealing=SealingKeys([SEALING_KEY]),
            issuers=IssuerKeys(issuers, self.clock),
            dns=self.dns,
            suffixes=SUFFIXES,
            orgs=self.orgs,
            proof_key=PROOF_KEY,
            claim_mail_domain=MAIL_DOMAIN,
        )
        self.parts = self.process(rate=rate)
        self._count = itertools.count(1)

    @property
    def use_cases(self) -> UseCases:
        return self.parts.use_cases

    def process(self, *, key: bytes = SEALING_KEY, rate: int | None = None) -> Parts:
        """The service as another process has it, with caches and limits of its own; `rate` calls of a kind at once."""
        outside = replace(
            self.outside,
            sealing=SealingKeys([key]),
            issuers=IssuerKeys(self.issuers, self.clock),
        )
        return make_parts(self.database, outside, make_rates(self.clock) if rate is None else self._rates(rate))

    async def call(
        self, caller: Caller | None, method: str, request: Any, *, parts: Parts | None = None, peer: str = PEER
    ) -> Any:
        """Call an RPC of this process, or of another one; without a caller, as whoever has no token."""
        if "request_id" in request.DESCRIPTOR.fields_by_name and not request.request_id:
            request.request_id = f"call {next(self._count)}"
        handler = getattr((parts or self.parts).servicer, method)
        if caller is None:
            return await handler(request, FakeContext(peer))
        with acting_as(caller):
            return await handler(request, FakeContext(peer))

    async def rejected(self, caller: Caller | None, method: str, request: Any, **more: Any) -> ApportionError:
        with pytest.raises(ApportionError) as rejection:
            await self.call(caller, method, request, **more)
        return rejection.value

    async def reason(self, caller: Caller | None, method: str, request: Any, **more: Any) -> tuple[str, str]:
        """Status and reason that a call is rejected with."""
        error = await self.rejected(caller, method, request, **more)
        return error.code, error.reason

    def audited(self, *actions: str) -> list[str]:
        """The actions that were audited, in order; only those named when any is."""
        found = [action for (action,) in self.rows("SELECT action FROM audit_entry ORDER BY at, audit_id")]
        return [action for action in found if not actions or action in actions]

    def rows(self, query: str, *parameters: Any) -> list[Any]:
        """What the owner of the database sees."""
        return fetch_all(self.place.owner_url, query, parameters)

    def write(self, statement: str, *parameters: Any) -> None:
        """Write what was there before."""
        fetch_all(self.place.owner_url, f"WITH written AS ({statement} RETURNING 1) SELECT * FROM written", parameters)

    def pass_time(self, **by: float) -> None:
        self.clock.advance(timedelta(**by))

    def _rates(self, calls: int) -> Rates:
        return Rates(*(RateLimit(name, calls, 0.1, self.clock, 100) for name in ("one", "two", "three", "four")))
