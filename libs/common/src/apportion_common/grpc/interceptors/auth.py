"""Verifies the bearer token when the headers are here, and checks each message against what the contract asks for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final

from apportion_common.caller import current_call, enter_caller, optional_caller
from apportion_common.errors import PermissionDenied, Unauthenticated
from apportion_common.grpc import limits
from apportion_common.grpc.auth import TokenVerifier, VerifiedToken, token_missing
from apportion_common.grpc.interceptors.base import Call, CallInterceptor
from apportion_common.grpc.peers import peer_key
from apportion_common.grpc.policy import MethodPolicy
from apportion_common.rate_limit import RateLimit

_SCHEME: Final = "bearer "


class AuthInterceptor(CallInterceptor):
    """Lets through who may call; the default is nobody."""

    def __init__(self, policies: Mapping[str, MethodPolicy], verifier: TokenVerifier) -> None:
        """Check against the policies of `policies_of`."""
        self._policies = policies
        self._verifier = verifier
        self._failures = RateLimit(
            "invalid tokens",
            limits.FAILED_TOKENS_PER_PEER,
            limits.FAILED_TOKENS_REFILL_PER_S,
            verifier.clock,
            limits.FAILED_TOKENS_PEERS_MAX,
        )

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        """Know the caller and check the role.

        Raises Unauthenticated TOKEN_MISSING, TOKEN_EXPIRED or TOKEN_INVALID, ResourceExhausted TOKEN_RATE_LIMITED,
        Unavailable TOKEN_KEYS_UNAVAILABLE, PermissionDenied ROLE_REQUIRED or SERVICE_FORBIDDEN.
        """
        policy = self._policy(call)
        token = _bearer(call.context)
        if token is not None and not policy.is_public:
            info = current_call()
            caller = (await self._verified(call, token)).caller(info.request_id if info is not None else "")
            enter_caller(caller)
            policy.check_role(caller)
        elif not policy.is_public:
            raise token_missing()
        yield

    async def _verified(self, call: Call, token: str) -> VerifiedToken:
        """Return what the token says.

        Tokens that are no good are counted by address. Whoever sent too many is told so and causes no more questions
        for unknown keys; a good token from there still passes, since others may share the address.
        """
        peer = peer_key(call.context.peer())
        try:
            return await self._verifier.verify_asking(token, may_ask=not self._failures.is_spent(peer))
        except Unauthenticated as error:
            if error.reason != "TOKEN_EXPIRED":  # Its holder had a good one: that is no guess.
                self._failures.take(peer, reason="TOKEN_RATE_LIMITED")
            raise

    async def admit(self, call: Call, message: Any) -> None:
        """Check the organisations that the message names. Raises PermissionDenied ORG_FORBIDDEN."""
        caller = optional_caller()
        if caller is not None:
            self._policy(call).check_orgs(caller, message)
            info = current_call()
            if info is not None and info.request_id != caller.request_id:
                # The message brought an id of its own.
                enter_caller(replace(caller, request_id=info.request_id))

    def _policy(self, call: Call) -> MethodPolicy:
        policy = self._policies.get(call.method.full_name)
        if policy is None:
            raise PermissionDenied("ROLE_REQUIRED", "Nobody may call this.")
        return policy


def _bearer(context: Any) -> str | None:
    """Return the bearer token of the call; None without one."""
    for key, value in context.invocation_metadata() or ():
        if key == "authorization" and isinstance(value, str) and value[: len(_SCHEME)].lower() == _SCHEME:
            return value[len(_SCHEME) :].strip() or None
    return None
