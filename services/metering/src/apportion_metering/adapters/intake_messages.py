"""The messages of METERING_IN: a call's usage, requeues of dead letters, closes of periods."""

from __future__ import annotations

from collections.abc import Sequence

from apportion.metering.v1.lane_pb2 import IntakeMessage
from apportion_common.protos import pack_int

from apportion_metering.domain.intake import CheckedEvent
from apportion_metering.domain.messages import Envelope


def usage_message(envelope: Envelope, events: Sequence[CheckedEvent], indexes: Sequence[int], reply_to: str) -> bytes:
    """Return the message of those events of a call; `reply_to` is empty when nobody waits for the commit."""
    message = _message(envelope)
    message.reply_to = reply_to
    add = message.entries.add
    for index in indexes:
        org_id, project_id, request_id, sku, quantity, event_time_us, metadata, source, content_hash = events[index]
        event = add().event
        event.org_id = org_id
        if project_id:
            event.project_id = project_id
        event.request_id = request_id
        event.sku = sku
        event.quantity = pack_int(quantity)
        event.event_time_us = event_time_us
        if metadata:
            event.metadata.update(metadata)
        event.content_hash = content_hash
        event.source = source
    return message.SerializeToString()


def requeue_message(envelope: Envelope, requeues: Sequence[tuple[bytes, int]]) -> bytes:
    """Return the message of requeues (dead letter id, attempt) on one lane."""
    message = _message(envelope)
    for dead_letter_id, attempt in requeues:
        requeue = message.entries.add().requeue
        requeue.dead_letter_id = dead_letter_id
        requeue.attempt = attempt
    return message.SerializeToString()


def period_close_message(envelope: Envelope, period: str, org_ids: Sequence[bytes]) -> bytes:
    """Return the message that closes a period ("2013-01") for organisations of one lane; an empty id means all."""
    message = _message(envelope)
    for org_id in org_ids:
        close = message.entries.add().period_close
        close.period = period
        close.org_id = org_id
    return message.SerializeToString()


def _message(envelope: Envelope) -> IntakeMessage:
    return IntakeMessage(
        received_at_us=envelope.received_at_us, producer=envelope.producer, traceparent=envelope.traceparent
    )
