"""What each user of the bus may do: the one table, from which the servers' accounts and the documentation are made.

Permissions of users who share an account do not keep them apart: a server publishes its answer to whatever reply
subject a request names, and delivers to whatever subject a consumer names, without asking whether the user may publish
there. So each stream has an account of its own, and so has each user; a user's account imports of a stream's account
exactly what this table says. An answer goes back into the account of whoever asked, where no stream listens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from apportion_common.topology import (
    ACCEPTED_SUBJECT,
    DEAD,
    DEAD_SUBJECT,
    EVENTS,
    EVENTS_SUBJECT,
    INTAKE_SUBJECT,
    LEDGER_OUT,
    METERING_IN,
    METERING_OUT,
    POSTED_SUBJECT,
    PRICING_OUT,
    RATED_SUBJECT,
    STREAMS,
    StreamSpec,
)

API_PREFIX: Final = "bus.api"
"""Where a user's account has the API of the streams that it imports."""
OWN_API_PREFIX: Final = "$JS.API"
"""Where an account that holds streams itself has their API."""
STREAM_ADMIN: Final = "stream-admin"
"""Makes, changes, empties and deletes streams; nobody else does."""
OPERATOR: Final = "operator"
"""Looks into every stream and changes nothing."""


@dataclass(frozen=True, slots=True)
class Consumed:
    """A durable consumer: its stream, its name and the one subject that it takes."""

    stream: StreamSpec
    name: str
    subject: str


@dataclass(frozen=True, slots=True)
class Rights:
    """What one user may do, by stream. Whoever uses a stream may also ask how it stands."""

    publishes: tuple[tuple[StreamSpec, str], ...] = ()
    """Subjects to publish to."""
    recovers: tuple[StreamSpec, ...] = ()
    """Streams whose last messages to look up, to know what of its own is there."""
    reads: tuple[StreamSpec, ...] = ()
    """Streams to read from any place, by short-lived consumers without acknowledgements."""
    consumes: tuple[Consumed, ...] = ()
    """Durable consumers to make, to take from and to acknowledge to."""
    administers: tuple[StreamSpec, ...] = ()
    """Streams to make, change, empty and delete, with their consumers."""

    def streams(self) -> tuple[StreamSpec, ...]:
        """Return every stream that the user has to do with, in the topology's order."""
        own = {stream.name for stream, _ in self.publishes}
        own |= {stream.name for stream in (*self.recovers, *self.reads, *self.administers)}
        own |= {consumed.stream.name for consumed in self.consumes}
        return tuple(stream for stream in STREAMS if stream.name in own)


ORG_CREATED_CONSUMER: Final = "identity_org_created"
ORG_CREATED_SUBJECT: Final = f"{EVENTS_SUBJECT}.orgs.org.created"

RIGHTS: Final[Mapping[str, Rights]] = {
    "identity": Rights(
        publishes=(
            (EVENTS, f"{EVENTS_SUBJECT}.identity.>"),
            (DEAD, f"{DEAD_SUBJECT}.{EVENTS.name}.{ORG_CREATED_CONSUMER}"),
        ),
        consumes=(Consumed(EVENTS, ORG_CREATED_CONSUMER, ORG_CREATED_SUBJECT),),
    ),
    "pricing": Rights(
        publishes=((PRICING_OUT, f"{RATED_SUBJECT}.*"), (EVENTS, f"{EVENTS_SUBJECT}.pricing.>")),
        recovers=(PRICING_OUT,),
        reads=(METERING_OUT,),
    ),
    "metering": Rights(
        publishes=(
            (METERING_IN, f"{INTAKE_SUBJECT}.*"),
            (METERING_OUT, f"{ACCEPTED_SUBJECT}.*"),
            (EVENTS, f"{EVENTS_SUBJECT}.metering.>"),
        ),
        recovers=(METERING_OUT,),
        reads=(METERING_IN, PRICING_OUT, LEDGER_OUT),
    ),
    "ledger": Rights(
        publishes=((LEDGER_OUT, f"{POSTED_SUBJECT}.*"), (EVENTS, f"{EVENTS_SUBJECT}.ledger.>")),
        recovers=(LEDGER_OUT,),
        reads=(PRICING_OUT,),
    ),
    "orgs": Rights(publishes=((EVENTS, f"{EVENTS_SUBJECT}.orgs.>"),)),
    OPERATOR: Rights(recovers=STREAMS, reads=STREAMS),
    STREAM_ADMIN: Rights(administers=STREAMS),
}
"""The rights of every user. What is not here is refused by the server."""


@dataclass(frozen=True, slots=True)
class Grant:
    """One subject of a stream's account that a user may send to."""

    stream: StreamSpec
    subject: str
    """As the stream's account has it."""
    streams_answers: bool = False
    """Whether one request has many answers."""

    @property
    def local_subject(self) -> str:
        """The subject as the user's account has it."""
        if self.subject.startswith(f"{OWN_API_PREFIX}."):
            return API_PREFIX + self.subject.removeprefix(OWN_API_PREFIX)
        return self.subject


_READING: Final = (("CONSUMER.CREATE", ".>"), ("CONSUMER.MSG.NEXT", ".*"), ("CONSUMER.DELETE", ".*"))
_ADMINISTERING: Final = (
    ("STREAM.CREATE", ""),
    ("STREAM.UPDATE", ""),
    ("STREAM.PURGE", ""),
    ("STREAM.DELETE", ""),
    ("STREAM.MSG.GET", ""),
    ("STREAM.MSG.DELETE", ""),
    ("CONSUMER.NAMES", ""),
    ("CONSUMER.LIST", ""),
    ("CONSUMER.INFO", ".*"),
    ("CONSUMER.DELETE", ".*"),
)


def grants_of(rights: Rights) -> tuple[Grant, ...]:
    """Return every subject that a user with these rights may send to."""
    return tuple(dict.fromkeys(_grants(rights)))


def _grants(rights: Rights) -> Iterator[Grant]:
    for stream, subject in rights.publishes:
        yield Grant(stream, subject)
    for stream in rights.streams():
        yield _api(stream, "STREAM.INFO")
    for stream in rights.recovers:
        yield _api(stream, "STREAM.MSG.GET")
    for stream in rights.reads:
        for operation, rest in _READING:
            yield _api(stream, operation, rest)
    for consumed in rights.consumes:
        yield _api(consumed.stream, "CONSUMER.CREATE", f".{consumed.name}.{consumed.subject}")
        yield _api(consumed.stream, "CONSUMER.MSG.NEXT", f".{consumed.name}")
        yield Grant(consumed.stream, f"$JS.ACK.{consumed.stream.name}.{consumed.name}.>")
    for stream in rights.administers:
        for operation, rest in _ADMINISTERING:
            yield _api(stream, operation, rest)


def _api(stream: StreamSpec, operation: str, rest: str = "") -> Grant:
    subject = f"{OWN_API_PREFIX}.{operation}.{stream.name}{rest}"
    return Grant(stream, subject, streams_answers=operation == "CONSUMER.MSG.NEXT")


def inbox_prefix(user: str) -> str:
    """Return the prefix of the subjects that a user is answered on; nobody else may listen there."""
    return f"_INBOX_{user}"
