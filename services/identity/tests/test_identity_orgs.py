"""The orgs service over gRPC, as delegation asks it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import grpc
import pytest
import pytest_asyncio
from apportion.orgs.v1 import orgs_service_pb2 as pb
from apportion.orgs.v1.orgs_service_pb2_grpc import OrgsServiceServicer, add_OrgsServiceServicer_to_server
from apportion_common.errors import ApportionError, NotFound, PermissionDenied, Unavailable
from apportion_common.grpc.status import abort
from apportion_identity.adapters.orgs import GrpcOrgs
from identity_harness import org_id

HEAD, MIDDLE, LEAF = (UUID(org_id(name)) for name in ("head", "middle", "leaf"))


class Orgs(OrgsServiceServicer):
    """Knows one line of organisations, and rejects what it is told to."""

    def __init__(self) -> None:
        self.rejections: list[ApportionError] = []

    async def ListAncestors(  # noqa: N802
        self, request: pb.ListAncestorsRequest, context: Any
    ) -> pb.ListAncestorsResponse:
        if self.rejections:
            await abort(context, self.rejections.pop(0))
        above = {str(LEAF): (MIDDLE, HEAD), str(MIDDLE): (HEAD,)}.get(request.org_id, ())
        orgs = [pb.OrgAtDepth(org=pb.Org(org_id=str(one)), depth=depth) for depth, one in enumerate(above, 1)]
        return pb.ListAncestorsResponse(orgs=orgs)


@pytest.fixture
def orgs() -> Orgs:
    return Orgs()


@pytest_asyncio.fixture(loop_scope="session")
async def client(orgs: Orgs) -> AsyncIterator[GrpcOrgs]:
    server = grpc.aio.server()
    add_OrgsServiceServicer_to_server(orgs, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield GrpcOrgs(channel)
    await server.stop(0)


async def test_a_subsidiary_is_what_stands_anywhere_below(client: GrpcOrgs) -> None:
    assert await client.is_subsidiary(LEAF, HEAD)
    assert await client.is_subsidiary(MIDDLE, HEAD)
    assert not await client.is_subsidiary(HEAD, LEAF)
    assert not await client.is_subsidiary(HEAD, HEAD)


async def test_what_orgs_does_not_know_is_nobodys_subsidiary(client: GrpcOrgs, orgs: Orgs) -> None:
    orgs.rejections = [NotFound("ORG_NOT_FOUND", "There is no such organisation.")]
    assert not await client.is_subsidiary(LEAF, HEAD)


async def test_orgs_is_asked_again_while_it_does_not_answer(client: GrpcOrgs, orgs: Orgs) -> None:
    orgs.rejections = [Unavailable("DATABASE_UNAVAILABLE", "Later.")]
    assert await client.is_subsidiary(LEAF, HEAD)


async def test_without_an_answer_nothing_is_assumed(client: GrpcOrgs, orgs: Orgs) -> None:
    orgs.rejections = [PermissionDenied("ROLE_REQUIRED", "No.")]
    with pytest.raises(Unavailable) as rejected:
        await client.is_subsidiary(LEAF, HEAD)
    assert rejected.value.reason == "ORGS_UNAVAILABLE"
