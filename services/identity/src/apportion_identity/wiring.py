"""The only place where the service's parts are made and joined."""

from __future__ import annotations

import grpc
from apportion.identity.v1 import identity_service_pb2 as pb
from apportion.identity.v1.identity_service_pb2_grpc import add_IdentityServiceServicer_to_server
from apportion_common.bus.relay import OutboxRelay
from apportion_common.db.audit_query import StoredAuditTrail
from apportion_common.run import Runtime

from apportion_identity.flags import FLAGS
from apportion_identity.rpc.servicer import IdentityServicer
from apportion_identity.store.key_set_file import KeySetFile
from apportion_identity.store.tables import shared

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["IdentityService"].full_name


async def build(runtime: Runtime) -> None:
    """Give the runtime what identity serves and what it runs beside."""
    keys = KeySetFile(runtime.settings.jwks_file)
    audit = StoredAuditTrail(runtime.database, shared)
    # The stubs call every RPC abstract, but those that are not overridden answer UNIMPLEMENTED.
    servicer = IdentityServicer(keys, audit)

    def register(server: grpc.aio.Server) -> None:
        add_IdentityServiceServicer_to_server(servicer, server)

    runtime.serve(register, SERVICE_NAME)
    runtime.behind(FLAGS)
    runtime.background("relay", OutboxRelay(runtime.database, runtime.nats).run)
