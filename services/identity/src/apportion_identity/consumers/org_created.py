"""New organisations, as orgs publishes them: each gets its first Owner (spec 01, access tokens)."""

from __future__ import annotations

from typing import Final

from apportion.common.v1.event_pb2 import EventEnvelope
from apportion.orgs.v1.orgs_service_pb2 import OrgCreated
from apportion_common.bus.consume import DurableConsumer, consumer_name
from apportion_common.bus.rights import ORG_CREATED_CONSUMER, ORG_CREATED_SUBJECT
from apportion_common.db.unit_of_work import Database, Transaction
from apportion_common.envelope import unpack
from apportion_common.ids import parse_uuid
from apportion_common.topology import EVENTS
from nats.aio.client import Client

from apportion_identity.app.memberships import Memberships
from apportion_identity.app.users import Users
from apportion_identity.domain.addresses import normalise_address

NAME: Final = consumer_name(ORG_CREATED_CONSUMER)
SUBJECT: Final = ORG_CREATED_SUBJECT


class FirstOwners:
    """Makes the Owner that an event names, unless the organisation has one by now.

    So an event that is read again, or late, returns to nobody what was taken from them since. Who is named by an
    address signs in with it later and finds the organisation there.
    """

    def __init__(self, memberships: Memberships, users: Users) -> None:
        """Work on these."""
        self._memberships = memberships
        self._users = users

    async def __call__(self, tx: Transaction, envelope: EventEnvelope) -> None:
        """Handle one event; one that names nobody leaves the organisation to an operator's invitation.

        InvalidArgument PAYLOAD_TYPE, ID_MALFORMED, EMAIL_MALFORMED; NotFound USER_NOT_FOUND: a dead letter.
        """
        created = unpack(envelope, OrgCreated)
        if created.owner_user_id:
            user = await self._users.of_id(tx.connection, parse_uuid(created.owner_user_id))
        elif created.owner_email:
            user = await self._users.of_address(tx, normalise_address(created.owner_email))
        else:
            return
        await self._memberships.make_first_owner(tx, parse_uuid(created.org.org_id), user)


def org_created_consumer(database: Database, nats: Client, first_owners: FirstOwners) -> DurableConsumer:
    """Return the consumer of new organisations."""
    return DurableConsumer(database, nats, stream=EVENTS.name, name=NAME, subjects=[SUBJECT], handler=first_owners)
