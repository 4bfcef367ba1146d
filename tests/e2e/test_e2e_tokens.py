"""Tokens that identity issues, as all five services' real processes meet them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import jwt
import pytest
import pytest_asyncio
from apportion.common.v1 import audit_pb2
from apportion.identity.v1 import identity_service_pb2 as pb
from apportion.identity.v1.identity_service_pb2_grpc import IdentityServiceStub
from apportion_client.services import CALL_TIMEOUT_S
from apportion_common.clock import SystemClock
from apportion_common.settings import SERVICES
from apportion_dev.local.keys import TokenSigningKey
from harness import System, refusal
from oidc_issuer import LocalIssuer


def audit_request(service: str) -> Any:
    module = __import__(f"apportion.{service}.v1.{service}_service_pb2", fromlist=["ListAuditRequest"])
    return module.ListAuditRequest(query=audit_pb2.AuditQuery(page_size=1))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def account(system: System) -> pb.CreateServiceAccountResponse:
    """A service account that may do what operators may."""
    request = pb.CreateServiceAccountRequest(name="e2e-tokens", roles=["operator"], request_id="e2e-tokens")
    made: pb.CreateServiceAccountResponse = await system.services.identity.CreateServiceAccount(
        request, timeout=CALL_TIMEOUT_S
    )
    return made


async def test_a_service_account_s_token_is_good_in_all_five_services_at_once(
    system: System, account: pb.CreateServiceAccountResponse
) -> None:
    issued = await system.call("identity", "IssueToken", pb.IssueTokenRequest(key=account.key))
    for service in SERVICES:
        assert await system.call(service, "ListAudit", audit_request(service), token=issued.access_token)


async def test_a_replica_of_identity_signs_with_the_same_key(
    system: System, account: pb.CreateServiceAccountResponse
) -> None:
    first = await system.call("identity", "IssueToken", pb.IssueTokenRequest(key=account.key))
    trust = grpc.ssl_channel_credentials((system.stack.layout.tls / "ca.pem").read_bytes())
    name = system.stack.start_replica("identity", "second")
    try:
        async with grpc.aio.secure_channel(system.stack.addresses[name], trust) as channel:
            request = pb.IssueTokenRequest(key=account.key)
            second = await IdentityServiceStub(channel).IssueToken(request, timeout=CALL_TIMEOUT_S)
    finally:
        system.stack.stop_service(name)
    kids = {jwt.get_unverified_header(token)["kid"] for token in (first.access_token, second.access_token)}
    assert len(kids) == 1
    assert await system.call("orgs", "ListAudit", audit_request("orgs"), token=second.access_token)


async def test_a_user_s_token_says_that_a_second_factor_was_used_and_opens_no_operator_s_door(
    system: System, oidc: LocalIssuer
) -> None:
    id_token = oidc.token(sub="e2e-tokens", email="e2e-tokens@example.org", now=SystemClock().now())
    exchanged = await system.call("identity", "ExchangeToken", pb.ExchangeTokenRequest(id_token=id_token))
    claims = jwt.decode(exchanged.access_token, options={"verify_signature": False})
    assert (claims["sub"], claims["amr"]) == (f"user:{exchanged.user_id}", ["pwd", "otp"])
    for service in SERVICES:
        seen = await refusal(system.call(service, "ListAudit", audit_request(service), token=exchanged.access_token))
        assert seen.reason == "ROLE_REQUIRED"


async def test_a_token_of_a_key_that_nobody_published_is_refused_everywhere(system: System, tmp_path: Path) -> None:
    stranger = TokenSigningKey.create_or_load(tmp_path / "stranger.key")
    forged = jwt.encode(
        {"iss": "https://identity.apportion.local", "aud": "apportion", "sub": "user:x", "iat": 0, "exp": 1 << 40},
        stranger.private_key,
        algorithm="EdDSA",
        headers={"kid": stranger.kid},
    )
    for service in SERVICES:
        seen = await refusal(system.call(service, "ListAudit", audit_request(service), token=forged))
        assert seen.reason == "TOKEN_INVALID"


async def test_keys_and_tokens_are_in_no_log(system: System, account: pb.CreateServiceAccountResponse) -> None:
    issued = await system.call("identity", "IssueToken", pb.IssueTokenRequest(key=account.key))
    with pytest.raises(Exception, match="not valid"):
        await system.call("identity", "IssueToken", pb.IssueTokenRequest(key=f"{account.key}x"))
    secret = (system.stack.layout.key_encryption_key_file).read_bytes()
    assert len(secret) == 32
    assert system.stack.layout.key_encryption_key_file.stat().st_mode & 0o777 == 0o600
    for file in (*system.stack.layout.logs.iterdir(), *system.stack.layout.traces.iterdir()):
        raw = file.read_bytes()
        for canary in (account.key.encode(), issued.access_token.encode(), secret, secret.hex().encode()):
            assert canary not in raw, file.name
