"""`python -m apportion_pricing serve` as others meet it: TLS, tokens, lanes, and an orgs that comes and goes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from apportion.metering.v1.lane_pb2 import AcceptedBatch, AcceptedEntry, AcceptedUsage
from apportion.orgs.v1 import orgs_service_pb2 as orgs_pb
from apportion.orgs.v1.orgs_service_pb2_grpc import OrgsServiceServicer, add_OrgsServiceServicer_to_server
from apportion.pricing.v1 import pricing_service_pb2 as pb
from apportion.pricing.v1.lane_pb2 import RatedBatch
from apportion.pricing.v1.pricing_service_pb2_grpc import PricingServiceStub
from apportion_client.lane_messages import expand_rated
from apportion_common.clock import SystemClock
from apportion_common.files import write_file
from apportion_common.flags import PREFIX, all_open
from apportion_common.ids import event_id, lane_of, parse_uuid_bytes
from apportion_common.protos import pack_int, timestamp_to_us, unpack_int, us_to_timestamp, uuid_text
from apportion_dev.local.keys import LocalCa, ServerCertificate, TokenSigningKey, mint_token, write_jwks
from apportion_dev.local.ports import reserve_port
from apportion_dev.testing.databases import ServiceDatabase, fetch_all
from apportion_dev.testing.plugin import MakeServiceDatabase
from apportion_dev.testing.servers import NatsAccess
from apportion_pricing.domain.accounts import ALWAYS_US, FOREVER_US
from apportion_pricing.flags import FLAGS
from nats.aio.client import Client
from nats.js.errors import NotFoundError
from pricing_harness import DECEMBER, JANUARY, UNIT, Orgs, at, id_of, per_unit, request_id, text_of

ISSUER, AUDIENCE = "https://identity.test", "apportion"
START_S, STOP_S, PATIENCE_S, CALL_S = 120, 60, 60, 60
OUTAGE_S = 2
REASONS = ("FEATURE_DISABLED", "VALIDATION_FAILED", "NOT_IMPLEMENTED")
LANE = lane_of(id_of("AA"))


class OrgsServicer(OrgsServiceServicer):
    """ResolveBillingAccounts from a small world in memory."""

    def __init__(self, orgs: Orgs) -> None:
        self._orgs = orgs

    async def ResolveBillingAccounts(  # noqa: N802
        self, request: orgs_pb.ResolveBillingAccountsRequest, context: Any
    ) -> orgs_pb.ResolveBillingAccountsResponse:
        assert dict(context.invocation_metadata())["authorization"] == "Bearer pricings-own-token"
        items = [(parse_uuid_bytes(item.org_id), timestamp_to_us(item.at, "at")) for item in request.items]
        answer = await self._orgs.resolve(items, request.as_of_revision)
        response = orgs_pb.ResolveBillingAccountsResponse(revision=answer.revision)
        for (org_id, _), interval in zip(items, answer.intervals, strict=True):
            result = response.results.add(org_id=uuid_text(org_id), org_known=interval.org_known)
            if interval.start_us != ALWAYS_US:
                result.valid_from.CopyFrom(us_to_timestamp(interval.start_us))
            if interval.end_us != FOREVER_US:
                result.valid_until.CopyFrom(us_to_timestamp(interval.end_us))
            if interval.account is not None:
                result.mapped = True
                result.billing_account_id = uuid_text(interval.account.account_id)
                result.mapping_id = uuid_text(interval.account.mapping_id)
                result.currency = interval.account.currency
        return response


@dataclass
class House:
    """Where a pricing process runs, and what its callers need."""

    database: ServiceDatabase
    folder: Path
    environ: dict[str, str]
    authority: bytes
    certificate: ServerCertificate
    signing: TokenSigningKey
    pricing_address: str
    orgs_address: str
    orgs: Orgs = field(default_factory=Orgs)

    def bearer(self, role: str, org: str = "") -> tuple[tuple[str, str], ...]:
        token = mint_token(
            self.signing.private_key,
            self.signing.kid,
            ISSUER,
            AUDIENCE,
            f"user:{role}",
            [role],
            now=SystemClock().now(),
            ttl_s=600,
            org_id=text_of(org) if org else None,
        )
        return (("authorization", f"Bearer {token}"),)

    @asynccontextmanager
    async def pricing(self) -> AsyncIterator[Any]:
        """Pricing while it runs, and its stub; it must drain at the end."""
        command = (sys.executable, "-m", "apportion_pricing", "serve")
        with (self.folder / "pricing.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(*command, env={**os.environ, **self.environ}, stdout=log)
        credentials = grpc.ssl_channel_credentials(self.authority)
        try:
            async with grpc.aio.secure_channel(self.pricing_address, credentials) as channel:
                await asyncio.wait_for(channel.channel_ready(), START_S)
                yield PricingServiceStub(channel)
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), STOP_S) == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    @asynccontextmanager
    async def orgs_up(self) -> AsyncIterator[None]:
        """Orgs while it answers."""
        server = grpc.aio.server()
        add_OrgsServiceServicer_to_server(OrgsServicer(self.orgs), server)
        pair = self.certificate.key_file.read_bytes(), self.certificate.certificate_file.read_bytes()
        server.add_secure_port(self.orgs_address, grpc.ssl_server_credentials([pair]))
        await server.start()
        try:
            yield
        finally:
            await server.stop(None)


@pytest_asyncio.fixture(loop_scope="session")
async def house(
    service_database: MakeServiceDatabase, nats_access: NatsAccess, streams: None, tmp_path: Path
) -> AsyncIterator[House]:
    database, now = service_database("pricing"), SystemClock().now()
    ca = LocalCa.create_or_load(tmp_path / "tls", now)
    certificate = ca.issue_server_certificate(["localhost", "127.0.0.1"], now, "pricing")
    signing = TokenSigningKey.create_or_load(tmp_path / "signing.key")
    write_jwks(tmp_path / "jwks.json", [signing])
    write_file(tmp_path / "service.jwt", b"pricings-own-token", 0o600)
    authorities = ca.certificate_file.read_bytes()
    if nats_access.tls_ca_file is not None:
        authorities += nats_access.tls_ca_file.read_bytes()
    write_file(tmp_path / "authorities.pem", authorities, 0o644)
    with reserve_port() as port, reserve_port() as metrics_port, reserve_port() as orgs_port:
        environ = {
            **all_open(),
            "ENVIRONMENT": "test",
            "PRICING_DATABASE_URL": database.app_url,
            "PRICING_GATE_OVERRIDE": "test",
            "NATS_URL": nats_access.nats_url,
            "NATS_USER": nats_access.nats_user or "none",
            "NATS_PASSWORD": nats_access.nats_password.get_secret_value() if nats_access.nats_password else "none",
            "GRPC_LISTEN": port.address,
            "METRICS_LISTEN": metrics_port.address,
            "TLS_CERT_FILE": str(certificate.certificate_file),
            "TLS_KEY_FILE": str(certificate.key_file),
            "TLS_CA_FILE": str(tmp_path / "authorities.pem"),
            "JWKS_FILE": str(tmp_path / "jwks.json"),
            "TOKEN_ISSUER": ISSUER,
            "TOKEN_AUDIENCE": AUDIENCE,
            "SERVICE_TOKEN_FILE": str(tmp_path / "service.jwt"),
            "ORGS_ADDRESS": f"localhost:{orgs_port.port}",
            "LANE_LEASE_S": "3",
        }
        yield House(
            database,
            tmp_path,
            environ,
            ca.certificate_file.read_bytes(),
            certificate,
            signing,
            f"localhost:{port.port}",
            f"localhost:{orgs_port.port}",
        )


async def set_terms(stub: Any, operator: Sequence[tuple[str, str]]) -> None:
    """A SKU, a plan, the engine live."""
    sku = pb.Sku(sku="OBJ-KM", type=pb.SKU_TYPE_OBJECT, unit="km")
    await stub.CreateSku(pb.CreateSkuRequest(sku=sku, request_id=request_id()), metadata=operator, timeout=CALL_S)
    await stub.CreatePlan(
        pb.CreatePlanRequest(
            plan_id=text_of("plan"),
            name="plan",
            currency="AUD",
            rows=[per_unit("OBJ-KM", "0.5", "1")],
            effective_at=at(DECEMBER),
            request_id=request_id(),
        ),
        metadata=operator,
        timeout=CALL_S,
    )
    await stub.SetEngineMode(
        pb.SetEngineModeRequest(
            all_orgs=True, mode=pb.ENGINE_MODE_LIVE, override_reason="a test", request_id=request_id()
        ),
        metadata=operator,
        timeout=CALL_S,
    )


def assignment(name: str) -> pb.AssignPlanRequest:
    return pb.AssignPlanRequest(
        org_id=text_of("AA"), plan_id=text_of("plan"), effective_at=at(DECEMBER), request_id=name
    )


async def accept(client: Client, batch_seq: int, entry_seq: int, *units: int) -> None:
    """Publish a batch as metering does."""
    batch = AcceptedBatch(
        lane=LANE,
        batch_seq=batch_seq,
        entries=[
            AcceptedEntry(
                entry_seq=number,
                usage=AcceptedUsage(
                    event_id=event_id(id_of("AA"), f"event-{number}"),
                    org_id=id_of("AA"),
                    sku="OBJ-KM",
                    quantity=pack_int(quantity * UNIT),
                    event_time_us=JANUARY,
                ),
            )
            for number, quantity in enumerate(units, entry_seq)
        ],
    )
    await client.jetstream().publish(f"metering.accepted.{LANE}", batch.SerializeToString())


async def rated(client: Client, batch_seq: int) -> RatedBatch:
    """The lane's newest rated batch, once it is the one of that number."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                message = await client.jetstream().get_last_msg("PRICING_OUT", f"pricing.rated.{LANE}")
                batch = expand_rated(RatedBatch.FromString(message.data or b""))
                if batch.batch_seq == batch_seq:
                    return batch
            except NotFoundError:
                pass
            await asyncio.sleep(0.1)


async def status_of(call: Any, request: Any, metadata: Sequence[tuple[str, str]] = ()) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call(request, metadata=metadata, timeout=CALL_S)
    return refused.value.code()


async def test_batches_are_rated_through_orgs_outages_and_restarts(house: House, nats_connection: Client) -> None:
    house.orgs.map("AA", "group")
    operator = house.bearer("operator")
    async with house.pricing() as stub:
        await set_terms(stub, operator)
        assert await status_of(stub.AssignPlan, assignment("a"), operator) == grpc.StatusCode.UNAVAILABLE
        async with house.orgs_up():
            await assigned(stub, operator)
        await accept(nats_connection, 1, 1, 3, 1)
        await asyncio.sleep(OUTAGE_S)
        assert fetch_all(house.database.owner_url, "SELECT max(pos), max(stopped_reason) FROM lane") == [(0, None)]
        async with house.orgs_up():
            first = await rated(nats_connection, 1)
    assert [unpack_int(charge.amount) for charge in first.charges] == [UNIT, UNIT // 2]
    assert list(first.rejections) == []
    await accept(nats_connection, 2, 3, 4, -1)
    async with house.orgs_up(), house.pricing():
        second = await rated(nats_connection, 2)
    assert [unpack_int(charge.amount) for charge in second.charges] == [2 * UNIT, -UNIT // 2]
    lanes = fetch_all(house.database.owner_url, "SELECT lane, pos, next_seq, stopped_reason FROM lane WHERE pos > 0")
    assert lanes == [(LANE, 2, 5, None)]


async def reason_of(stub: Any, name: str, metadata: Sequence[tuple[str, str]]) -> str:
    """Why a call with an empty request is refused; NONE when it is not."""
    request = next(m for m in pb.DESCRIPTOR.services_by_name["PricingService"].methods if m.name == name).input_type
    empty = getattr(pb, request.name)()
    call = getattr(stub, name)
    try:
        if name == "EstimateStream":
            _ = [answer async for answer in call(iter([empty]), metadata=metadata, timeout=CALL_S)]
        else:
            await call(empty, metadata=metadata, timeout=CALL_S)
    except grpc.aio.AioRpcError as error:
        return next(word for word in REASONS if word in str(error.trailing_metadata()))
    return "NONE"


async def nobody_works(database: ServiceDatabase) -> None:
    """Wait until no lane is held and no worker counts."""
    held = (
        "SELECT (SELECT count(*) FROM lane WHERE lease_until > clock_timestamp()) + (SELECT count(*) FROM lane_worker)"
    )
    async with asyncio.timeout(PATIENCE_S):
        while fetch_all(database.owner_url, held) != [(0,)]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_closed_features_refuse_and_pause_and_when_they_open_nothing_was_lost(
    house: House, nats_connection: Client
) -> None:
    file = house.folder / "flags"
    house.environ = {name: value for name, value in house.environ.items() if not name.startswith(PREFIX)}
    house.environ["FEATURE_FLAGS_FILE"] = str(file)
    house.orgs.map("AA", "group")
    operator = house.bearer("operator")
    async with house.orgs_up(), house.pricing() as stub:
        names = [path.rpartition("/")[2] for path in (*FLAGS.rpcs, *FLAGS.always)]
        reasons = {name: await reason_of(stub, name, operator) for name in names}
        assert {name for name, reason in reasons.items() if reason != "FEATURE_DISABLED"} == {"ListAudit"}
        await nobody_works(house.database)
        url = house.database.owner_url
        assert fetch_all(url, "SELECT count(DISTINCT owner), max(owner) FROM lane") == [(1, "")], "No lane was taken."
        for table in ("product_sku", "plan", "business_model", "charge", "charge_refusal", "audit_entry"):
            assert fetch_all(url, f"SELECT count(*) FROM {table}") == [(0,)]

        file.write_text("FEATURE_ENTITLEMENTS=on\nFEATURE_PRICING_ENGINE=on\n")
        await set_terms(stub, operator)
        await assigned(stub, operator)
        assert await reason_of(stub, "SetBudget", operator) == "FEATURE_DISABLED"

        file.write_text("FEATURE_ENTITLEMENTS=on\n")
        await nobody_works(house.database)
        await accept(nats_connection, 1, 1, 3)
        await accept(nats_connection, 2, 2, 4, -1)
        assert await reason_of(stub, "ListCharges", operator) == "FEATURE_DISABLED"
        assert await reason_of(stub, "CreateSku", operator) == "VALIDATION_FAILED"
        assert fetch_all(url, "SELECT max(pos) FROM lane") == [(0,)]

        file.write_text("FEATURE_ENTITLEMENTS=on\nFEATURE_PRICING_ENGINE=on\n")
        async with asyncio.timeout(PATIENCE_S):
            while fetch_all(url, "SELECT max(next_seq) FROM lane") != [(4,)]:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        charges = fetch_all(url, "SELECT seq, quantity::int FROM charge ORDER BY seq")
    assert charges == [(1, 3), (2, 4), (3, -1)], "What came meanwhile, once and in order."
    assert fetch_all(url, "SELECT count(*) FROM charge_refusal") == [(0,)]


async def assigned(stub: Any, operator: Sequence[tuple[str, str]]) -> None:
    """Assign the plan, as soon as pricing has found orgs again."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                await stub.AssignPlan(assignment("a"), metadata=operator, timeout=CALL_S)
                return
            except grpc.aio.AioRpcError as error:
                if error.code() != grpc.StatusCode.UNAVAILABLE:
                    raise
                await asyncio.sleep(0.2)


async def test_callers_get_what_they_may_and_a_status_for_the_rest(house: House) -> None:
    house.orgs.map("AA", "group")
    operator = house.bearer("operator")
    async with house.orgs_up(), house.pricing() as stub:
        await set_terms(stub, operator)
        await stub.AssignPlan(assignment("b"), metadata=operator, timeout=CALL_S)
        wanted = pb.GetEffectiveEntitlementsRequest(org_id=text_of("AA"), at=at(JANUARY))
        own = await stub.GetEffectiveEntitlements(wanted, metadata=house.bearer("user", "AA"), timeout=CALL_S)
        assert [row.sku for row in own.entitlements] == ["OBJ-KM"]
        codes = [
            await status_of(stub.GetEffectiveEntitlements, wanted),
            await status_of(stub.GetEffectiveEntitlements, wanted, house.bearer("user", "BB")),
            await status_of(stub.CreateSku, pb.CreateSkuRequest(), house.bearer("owner", "AA")),
            await status_of(stub.CreateSku, pb.CreateSkuRequest(request_id="x"), operator),
            await status_of(stub.GetPlan, pb.GetPlanRequest(plan_id="not an id"), operator),
            await status_of(stub.Estimate, pb.EstimateRequest(), operator),
        ]
    assert codes == [
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.UNIMPLEMENTED,
    ]
