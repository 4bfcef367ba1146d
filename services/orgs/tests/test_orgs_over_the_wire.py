"""The service as callers meet it: over TLS, with tokens, behind the contract's rules."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest
import pytest_asyncio
from apportion.common.v1.audit_pb2 import AuditQuery
from apportion.orgs.v1 import orgs_service_pb2 as pb
from apportion.orgs.v1.orgs_service_pb2_grpc import OrgsServiceStub
from apportion.orgs.v1.orgs_service_pb2_grpc import add_OrgsServiceServicer_to_server as add_servicer
from apportion_common.clock import SystemClock
from apportion_common.grpc.auth import TokenVerifier
from apportion_common.grpc.server import start_server
from apportion_common.grpc.status import reason_of
from apportion_dev.local.keys import LocalCa, TokenSigningKey, mint_token, write_jwks
from apportion_orgs.wiring import SERVICE_NAME
from orgs_harness import OrgsHarness, org_id, timestamp

if TYPE_CHECKING:
    from apportion.orgs.v1.orgs_service_pb2_grpc import OrgsServiceAsyncStub

ISSUER, AUDIENCE = "https://issuer.test", "apportion"


@dataclass(frozen=True)
class ServerSettings:
    tls_cert_file: Path
    tls_key_file: Path
    grpc_listen: str = "127.0.0.1:0"
    shutdown_grace_s: int = 1


@dataclass(frozen=True)
class Wire:
    """A stub, and tokens for roles."""

    stub: OrgsServiceAsyncStub
    mint: Callable[..., str]

    def as_role(self, *roles: str, org: str | None = None) -> grpc.aio.Metadata:
        return grpc.aio.Metadata(("authorization", f"Bearer {self.mint(roles, org)}"))


@pytest_asyncio.fixture(loop_scope="session")
async def wire(harness: OrgsHarness, tmp_path: Path) -> AsyncIterator[Wire]:
    now = datetime.now(UTC)
    ca = LocalCa.create_or_load(tmp_path / "ca", now)
    certificate = ca.issue_server_certificate(["localhost", "127.0.0.1"], now, "orgs")
    key = TokenSigningKey.create_or_load(tmp_path / "signing.pem")
    write_jwks(tmp_path / "jwks.json", [key])

    def mint(roles: tuple[str, ...], org: str | None) -> str:
        return mint_token(key.private_key, key.kid, ISSUER, AUDIENCE, "tester", roles, now=now, ttl_s=600, org_id=org)

    server = await start_server(
        ServerSettings(certificate.certificate_file, certificate.key_file),
        [lambda server: add_servicer(harness.rpcs, server)],
        [SERVICE_NAME],
        verifier=TokenVerifier(tmp_path / "jwks.json", ISSUER, AUDIENCE, SystemClock()),
    )
    await server.set_ready(True)
    credentials = grpc.ssl_channel_credentials(ca.certificate_file.read_bytes())
    async with grpc.aio.secure_channel(f"127.0.0.1:{server.port}", credentials) as channel:
        yield Wire(OrgsServiceStub(channel), mint)
    await server.stop(0)


async def test_an_organisation_is_made_and_read_by_its_own_users_only(wire: Wire) -> None:
    request = pb.CreateOrgRequest(org_id=org_id("acme"), legal_name="Acme", slug="acme", request_id="1")
    await wire.stub.CreateOrg(request, metadata=wire.as_role("service"))
    read = pb.GetOrgRequest(org_id=org_id("acme"))
    own = wire.as_role("User", org=org_id("acme"))
    assert (await wire.stub.GetOrg(read, metadata=own)).org.slug == "acme"
    with pytest.raises(grpc.aio.AioRpcError) as other:
        await wire.stub.GetOrg(read, metadata=wire.as_role("User", org=org_id("other")))
    assert other.value.code() is grpc.StatusCode.PERMISSION_DENIED
    with pytest.raises(grpc.aio.AioRpcError) as nobody:
        await wire.stub.GetOrg(read)
    assert nobody.value.code() is grpc.StatusCode.UNAUTHENTICATED
    with pytest.raises(grpc.aio.AioRpcError) as user:
        await wire.stub.CreateOrg(request, metadata=own)
    assert user.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_pricing_resolves_accounts_as_a_service(wire: Wire, harness: OrgsHarness) -> None:
    await harness.root("acme")
    at = timestamp("2013-01-05T00:00:00Z")
    request = pb.ResolveBillingAccountsRequest(items=[pb.OrgInstant(org_id=org_id("acme"), at=at)])
    answer = await wire.stub.ResolveBillingAccounts(request, metadata=wire.as_role("service"))
    assert (answer.revision, answer.results[0].mapped) == (1, True)
    assert (
        await wire.stub.ResolveBillingAccounts(pb.ResolveBillingAccountsRequest(), metadata=wire.as_role("service"))
    ).revision == 1


async def test_malformed_requests_are_rejected_before_anything_happens(wire: Wire, harness: OrgsHarness) -> None:
    operator = wire.as_role("operator")
    for request in (
        pb.CreateOrgRequest(legal_name="A", slug="Not A Slug", request_id="1"),
        pb.CreateOrgRequest(legal_name="A", slug="a"),
        pb.CreateOrgRequest(org_id="x", legal_name="A", slug="a", request_id="1"),
        pb.CreateOrgRequest(legal_name="A", slug="a", billing_email="nobody", request_id="1"),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as rejected:
            await wire.stub.CreateOrg(request, metadata=operator)
        assert rejected.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert reason_of(rejected.value) == "VALIDATION_FAILED"
    items = [pb.OrgInstant(org_id=org_id("a"), at=timestamp("2013-01-05T00:00:00Z"))] * 1_001
    with pytest.raises(grpc.aio.AioRpcError) as many:
        await wire.stub.ResolveBillingAccounts(pb.ResolveBillingAccountsRequest(items=items), metadata=operator)
    assert many.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert harness.rows("SELECT count(*) FROM organization") == [(0,)]


async def test_a_page_token_goes_on_under_its_own_filter_alone(wire: Wire, harness: OrgsHarness) -> None:
    for name in ("one", "two"):
        await harness.root(name)
        await harness.account(name, name)
        await harness.map_org(name, name, "2013-01-01T00:00:00Z")
    service = wire.as_role("service")
    first = await wire.stub.ListMappings(pb.ListMappingsRequest(page_size=1), metadata=service)
    rest = pb.ListMappingsRequest(page_size=1_000, page_token=first.next_page_token)
    whole = await wire.stub.ListMappings(pb.ListMappingsRequest(), metadata=service)
    assert [*first.mappings, *(await wire.stub.ListMappings(rest, metadata=service)).mappings] == list(whole.mappings)
    other = pb.ListMappingsRequest(org_id=org_id("one"), page_token=first.next_page_token)
    query = AuditQuery(page_size=1)
    audit = await wire.stub.ListAudit(pb.ListAuditRequest(query=query), metadata=wire.as_role("operator"))
    another = pb.ListAuditRequest(query=AuditQuery(resource="other", page_token=audit.next_page_token))
    for call, request in ((wire.stub.ListMappings, other), (wire.stub.ListAudit, another)):
        with pytest.raises(grpc.aio.AioRpcError) as rejected:
            await call(request, metadata=wire.as_role("operator"))
        assert rejected.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert reason_of(rejected.value) == "PAGE_TOKEN_MISMATCH"


async def test_what_is_not_built_says_so(wire: Wire) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as rejected:
        await wire.stub.MoveOrg(pb.MoveOrgRequest(), metadata=wire.as_role("operator"))
    assert rejected.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert reason_of(rejected.value) == "NOT_IMPLEMENTED"
