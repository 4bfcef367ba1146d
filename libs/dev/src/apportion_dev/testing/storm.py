"""Calls of every RPC of a service, through a real server, that are cancelled at random instants.

    storm = Storm(folder, "apportion.orgs.v1.OrgsService", register, known={"org_id": [ORG]})
    ended = await storm.run(200, seed=7)

Requests are made from the contract: values of the right form, some of which the test says exist.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import grpc
from apportion_common.caller import OPERATOR, SERVICE
from apportion_common.clock import SystemClock
from apportion_common.grpc.auth import TokenVerifier
from apportion_common.grpc.server import Registration, start_server
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor

from apportion_dev.local.keys import LocalCa, TokenSigningKey, mint_token, write_jwks

CALLERS: Final = 12
"""Calls at once."""
FIRST_PATIENCE_S: Final = 0.05
"""Latest instant at which a first call is given up. After each call it becomes shorter or longer, so that about a third
of the calls come to their end on whatever machine this runs.
"""
PATIENCE_GROWTH: Final = 1.02
PATIENCE_SHRINKAGE: Final = 0.96
CALL_TIMEOUT_S: Final = 20
REQUEST_DEPTH_MAX: Final = 6
ISSUER: Final = "https://storm.test"
AUDIENCE: Final = "apportion"
UNEXPECTED: Final = frozenset({"INTERNAL", "UNKNOWN", "DATA_LOSS"})
GIVEN_UP: Final = frozenset({grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED})

_FIXED: Final[dict[str, str]] = {
    "currency": "AUD",
    "payout_currency": "AUD",
    "period": "2013-01",
    "week": "2013-W03",
    "sku": "ACT-SMS",
    "tier": "gold",
    "value": "1",
    "page_token": "",
    "country": "AU",
    "email": "someone@storm.example",
    "billing_email": "someone@storm.example",
    "domain": "storm.example",
    "percent": "1",
    "unit": "unit",
}


@dataclass
class _Settings:
    grpc_listen: str
    tls_cert_file: Path
    tls_key_file: Path
    shutdown_grace_s: int = 5


@dataclass
class Storm:
    """One service and its callers."""

    folder: Path
    service_name: str
    register: Registration
    known: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Values that exist, by the name of the field or, for ids, of its end (`org_id` for `parent_org_id`)."""
    patience_s: float = FIRST_PATIENCE_S

    async def run(self, cancellations: int, seed: int, watch: Callable[[], None] = lambda: None) -> Counter[str]:
        """Call until so many calls were given up, each served method's at least once; return how they ended, by code.

        `watch` is called after each call. Fails when a call ended in a way that no caller has to expect.
        """
        chance = random.Random(seed)
        methods = list(descriptor_pool.Default().FindServiceByName(self.service_name).methods)
        spared = list(methods)
        ended: dict[str, Counter[str]] = {method.name: Counter() for method in methods}
        given_up = 0

        async def call_on(channel: grpc.aio.Channel, token: str, own: random.Random) -> None:
            nonlocal given_up
            while given_up < cancellations or spared:
                method = own.choice(spared if spared and own.random() < 0.5 else methods)
                code = await self._call(channel, token, method, own)
                given_up += code in GIVEN_UP
                self.patience_s *= PATIENCE_GROWTH if code in GIVEN_UP else PATIENCE_SHRINKAGE
                ended[method.name][code.name] += 1
                if code is grpc.StatusCode.UNIMPLEMENTED and method in methods:
                    methods.remove(method)
                if code in GIVEN_UP | {grpc.StatusCode.UNIMPLEMENTED} and method in spared:
                    spared.remove(method)
                watch()

        async with self._serving() as (channel, token):
            seeds = [chance.random() for _ in range(CALLERS)]
            await asyncio.gather(*(call_on(channel, token, random.Random(own)) for own in seeds))
        # A stream of requests that the server ends early is INTERNAL for grpc's own client.
        unary = [method.name for method in methods if not method.client_streaming]
        odd = {name: ended[name] for name in unary if UNEXPECTED & ended[name].keys()}
        assert not odd, f"Calls ended in a way that is nobody's fault but the service's: {odd}"
        return sum(ended.values(), Counter())

    @asynccontextmanager
    async def _serving(self) -> AsyncIterator[tuple[grpc.aio.Channel, str]]:
        now = datetime.now(UTC)
        authority = LocalCa.create_or_load(self.folder / "tls", now)
        certificate = authority.issue_server_certificate(["localhost"], now, "storm")
        signing = TokenSigningKey.create_or_load(self.folder / "signing.key")
        write_jwks(self.folder / "jwks.json", [signing])
        roles = [OPERATOR, SERVICE]
        token = mint_token(
            signing.private_key, signing.kid, ISSUER, AUDIENCE, "user:storm", roles, now=now, ttl_s=3_600
        )
        settings = _Settings("127.0.0.1:0", certificate.certificate_file, certificate.key_file)
        verifier = TokenVerifier(self.folder / "jwks.json", ISSUER, AUDIENCE, SystemClock())
        server = await start_server(settings, [self.register], [self.service_name], verifier=verifier)
        credentials = grpc.ssl_channel_credentials(authority.certificate_file.read_bytes())
        try:
            async with grpc.aio.secure_channel(f"localhost:{server.port}", credentials) as channel:
                yield channel, token
        finally:
            await server.stop(0)

    async def _call(
        self, channel: grpc.aio.Channel, token: str, method: MethodDescriptor, own: random.Random
    ) -> grpc.StatusCode:
        """Call a method and give up at a random instant, by a deadline or by cancelling; return the code."""
        after_s = own.uniform(0, self.patience_s)
        by_deadline = own.random() < 0.5
        request = self._message(method.input_type, own, 0)
        call = self._begin(channel, method, request, token, after_s if by_deadline else CALL_TIMEOUT_S)
        answering = asyncio.ensure_future(_answered(call, method.server_streaming))
        if not by_deadline:
            asyncio.get_running_loop().call_later(after_s, call.cancel)
        return await answering

    @staticmethod
    def _begin(channel: grpc.aio.Channel, method: MethodDescriptor, request: Any, token: str, timeout_s: float) -> Any:
        kind = f"{'stream' if method.client_streaming else 'unary'}_{'stream' if method.server_streaming else 'unary'}"
        make = getattr(channel, kind)(
            f"/{method.containing_service.full_name}/{method.name}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=message_factory.GetMessageClass(method.output_type).FromString,
        )
        given = _thrice(request) if method.client_streaming else request
        return make(given, timeout=timeout_s, metadata=(("authorization", f"Bearer {token}"),))

    def _message(self, described: Descriptor, own: random.Random, depth: int) -> Any:
        """Return a message of a type with values of the right form."""
        message: Any = message_factory.GetMessageClass(described)()
        if described.full_name == "google.protobuf.Timestamp":
            message.seconds = 1_356_998_400 + own.randrange(28) * 86_400
            return message
        chosen = {oneof.name: own.choice(oneof.fields).name for oneof in described.oneofs}
        for one in described.fields:
            if one.containing_oneof is not None and chosen[one.containing_oneof.name] != one.name:
                continue
            if depth > REQUEST_DEPTH_MAX or (one.message_type and one.message_type.GetOptions().map_entry):
                continue
            if one.is_repeated:
                values = [self._value(one, own, depth) for _ in range(own.randint(1, 2))]
                getattr(message, one.name).extend(values)
            elif one.message_type:
                getattr(message, one.name).CopyFrom(self._value(one, own, depth))
            else:
                setattr(message, one.name, self._value(one, own, depth))
        return message

    def _value(self, one: FieldDescriptor, own: random.Random, depth: int) -> Any:
        if one.message_type:
            return self._message(one.message_type, own, depth + 1)
        if one.enum_type:
            return own.choice([value.number for value in one.enum_type.values if value.number] or [0])
        if one.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
            return own.random() < 0.2
        if one.cpp_type != FieldDescriptor.CPPTYPE_STRING:
            return 0 if "revision" in one.name else 1
        text = self._text(one.name, own)
        if one.type != FieldDescriptor.TYPE_BYTES:
            return text
        return own.randbytes(16) if one.name == "request_id" else UUID(text).bytes if "_id" in one.name else b""

    def _text(self, name: str, own: random.Random) -> str:
        existing = [value for known, values in self.known.items() if name.endswith(known) for value in values]
        if existing and own.random() < 0.8:
            return own.choice(existing)
        if name == "request_id":
            return f"storm-{own.getrandbits(64):x}"
        if name.endswith(("_id", "_ids")):
            return str(UUID(int=own.getrandbits(128), version=4))
        return _FIXED.get(name, f"{name.replace('_', '-')}-{own.randrange(100)}")


async def _answered(call: Any, streamed: bool) -> grpc.StatusCode:
    """Take the whole answer; return the code."""
    try:
        if streamed:
            async for _ in call:
                pass
        else:
            await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    except asyncio.CancelledError:
        if not call.cancelled():
            raise
        return grpc.StatusCode.CANCELLED
    return grpc.StatusCode.OK


async def _thrice(request: Any) -> AsyncIterator[Any]:
    for _ in range(3):
        yield request
