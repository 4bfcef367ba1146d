"""The messages of METERING_IN: a call's usage, requeues of dead letters, closes and reopenings of periods."""

from __future__ import annotations

from collections.abc import Sequence

from apportion.metering.v1.lane_pb2 import IntakeEvent, IntakeMessage
from apportion_common.lanes.records import INT64_MAX, INT64_MIN, INTAKE_RECORD
from apportion_common.period_closes import PeriodChange
from apportion_common.protos import pack_int

from apportion_metering.domain.intake import CheckedEvent
from apportion_metering.domain.messages import Envelope


def usage_message(
    envelope: Envelope, events: Sequence[CheckedEvent], indexes: Sequence[int], reply_to: str, *, packed: bool = True
) -> bytes:
    """Return the message of those events of a call; `reply_to` is empty when nobody waits for the commit.

    Events are packed into records where they fit; all are messages unless it is `packed`.
    """
    message = _message(envelope)
    message.reply_to = reply_to
    groups: dict[tuple[bytes, bytes, str, int], int] = {}
    records: list[bytes] = []
    request_ids: list[str] = []
    unpacked: list[tuple[int, CheckedEvent]] = []
    pack = INTAKE_RECORD.pack
    for place, index in enumerate(indexes):
        event = events[index]
        org_id, project_id, request_id, sku, quantity, event_time_us, metadata, source, content_hash = event
        if not packed or metadata or not INT64_MIN <= quantity <= INT64_MAX:
            unpacked.append((place, event))
            continue
        key = (org_id, project_id, sku, source)
        group = groups.get(key)
        if group is None:
            group = groups[key] = len(groups)
        records.append(pack(group, len(request_id), content_hash, quantity, event_time_us))
        request_ids.append(request_id)
    if records:
        for org_id, project_id, sku, source in groups:
            message.groups.add(org_id=org_id, project_id=project_id, sku=sku, source=source)
        message.records = b"".join(records)
        message.request_ids = "".join(request_ids).encode("ascii")
        message.unpacked_indexes.extend(place for place, _ in unpacked)
    entries = message.unpacked if records else message.entries
    for _, event in unpacked:
        entries.add().event.CopyFrom(_event_to_message(event))
    return message.SerializeToString()


def requeue_message(envelope: Envelope, requeues: Sequence[tuple[bytes, int, str]]) -> bytes:
    """Return the message of requeues (dead letter id, attempt, period that bills it or none) on one lane."""
    message = _message(envelope)
    for dead_letter_id, attempt, into_period in requeues:
        requeue = message.entries.add().requeue
        requeue.dead_letter_id = dead_letter_id
        requeue.attempt = attempt
        requeue.into_period = into_period
    return message.SerializeToString()


def period_message(envelope: Envelope, changes: Sequence[PeriodChange]) -> bytes:
    """Return the message that closes or reopens periods on one lane."""
    message = _message(envelope)
    for change in changes:
        close = message.entries.add().period_close
        close.period = change.period
        close.org_id = change.org_id or b""
        close.reopening = change.reopening
    return message.SerializeToString()


def _event_to_message(event: CheckedEvent) -> IntakeEvent:
    """Return an event that no record holds: it has labels, or a quantity beyond 64 bits."""
    return IntakeEvent(
        org_id=event.org_id,
        project_id=event.project_id,
        request_id=event.request_id,
        sku=event.sku,
        quantity=pack_int(event.quantity),
        event_time_us=event.event_time_us,
        metadata=event.metadata,
        content_hash=event.content_hash,
        source=event.source,
    )


def _message(envelope: Envelope) -> IntakeMessage:
    return IntakeMessage(
        received_at_us=envelope.received_at_us, producer=envelope.producer, traceparent=envelope.traceparent
    )
