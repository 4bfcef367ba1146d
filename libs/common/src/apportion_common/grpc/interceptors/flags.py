"""Refuses RPCs behind a closed feature flag. It stands behind auth: who may not call learns nothing of flags."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from apportion_common.flags import Flags, FlagTable, feature_disabled
from apportion_common.grpc.interceptors.base import Call, CallInterceptor


class FlagsInterceptor(CallInterceptor):
    """Lets through what stands behind an open flag or behind none."""

    def __init__(self, flags: Flags, table: FlagTable) -> None:
        """Ask `flags` at each call for the flag that `table` puts the RPC behind."""
        self._flags = flags
        self._table = table

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        """Look once, when a call of streamed requests begins. Raises FailedPrecondition FEATURE_DISABLED."""
        if call.method.request_streaming:
            self._check(call)
        yield

    async def admit(self, call: Call, message: Any) -> None:
        """Look at a call of one request when its organisation is known to be the caller's, and at fields that stand
        behind a flag of their own.

        Raises FailedPrecondition FEATURE_DISABLED.
        """
        if not call.method.request_streaming:
            self._check(call)
        for field, flag in self._table.fields.get(call.method.full_name, ()):
            if getattr(message, field) and not self._flags.is_open(flag):
                raise feature_disabled(flag)

    def _check(self, call: Call) -> None:
        flag = self._table.rpcs.get(call.method.full_name)
        if flag is not None and not self._flags.is_open(flag):
            raise feature_disabled(flag)
