"""The orgs service over gRPC: which billing account an organisation has at an instant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc
from apportion.orgs.v1 import orgs_service_pb2 as orgs_pb
from apportion.orgs.v1.orgs_service_pb2_grpc import OrgsServiceStub
from apportion_common.errors import ApportionError
from apportion_common.ids import parse_uuid_bytes
from apportion_common.protos import timestamp_to_us, us_to_timestamp, uuid_text

from apportion_pricing import errors, limits
from apportion_pricing.domain.accounts import (
    ALWAYS_US,
    FOREVER_US,
    AccountInterval,
    BillingAccount,
    Need,
    OrgsAnswer,
)


class GrpcOrgs:
    """Asks orgs' ResolveBillingAccounts. Whatever keeps an answer away is Unavailable: the lane waits."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """Call over a channel to orgs."""
        self._stub: Any = OrgsServiceStub(channel)

    async def resolve(self, items: Sequence[Need], as_of_revision: int) -> OrgsAnswer:
        """Return the billing account of each (organisation, instant in microseconds); revision 0 asks for the newest.

        Raises Unavailable ORGS_UNAVAILABLE.
        """
        request = orgs_pb.ResolveBillingAccountsRequest(
            items=[orgs_pb.OrgInstant(org_id=uuid_text(org_id), at=us_to_timestamp(at_us)) for org_id, at_us in items],
            as_of_revision=as_of_revision,
        )
        try:
            answer: orgs_pb.ResolveBillingAccountsResponse = await self._stub.ResolveBillingAccounts(
                request, timeout=limits.RESOLVE_TIMEOUT_MS / 1_000
            )
            return OrgsAnswer(answer.revision, [_interval(result) for result in answer.results])
        except grpc.aio.AioRpcError as error:
            raise errors.orgs_unavailable(error.code().name) from error
        except ApportionError as error:
            raise errors.orgs_unavailable(error.reason) from error


def _interval(result: orgs_pb.ResolvedBillingAccount) -> AccountInterval:
    account = None
    if result.mapped:
        account = BillingAccount(
            parse_uuid_bytes(result.billing_account_id), parse_uuid_bytes(result.mapping_id), result.currency
        )
    return AccountInterval(
        timestamp_to_us(result.valid_from, "valid_from") if result.HasField("valid_from") else ALWAYS_US,
        timestamp_to_us(result.valid_until, "valid_until") if result.HasField("valid_until") else FOREVER_US,
        result.org_known,
        account,
    )
