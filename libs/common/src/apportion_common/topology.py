"""What the services have in common on the bus: streams, subjects, the lanes and their roles, dead-letter reasons.

Everything here is named once. `bus/streams.py` says how a stream is made, `lanes/limits.py` what a lane may take.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

LANES: Final = 32
"""Lanes of a deployment; constant for its life, because an organisation must never change its lane."""

INTAKE_SUBJECT: Final = "metering.in"
"""Intake messages, from calls to the writer."""
ACCEPTED_SUBJECT: Final = "metering.accepted"
"""Accepted batches, from the writer to the rater."""
RATED_SUBJECT: Final = "pricing.rated"
"""Rated batches, from the rater to the poster; metering reads them as receipts."""
POSTED_SUBJECT: Final = "ledger.posted"
"""The ledger's receipts, from the poster to metering."""
EVENTS_SUBJECT: Final = "events"
"""Events are published as `events.<event_type>`."""
DEAD_SUBJECT: Final = "dead"
"""Events that a consumer cannot apply are published as `dead.<stream>.<consumer>`."""

WRITER_ROLE: Final = "metering_writer"
RATED_RECEIPTS_ROLE: Final = "metering_rated_receipts"
POSTED_RECEIPTS_ROLE: Final = "metering_posted_receipts"
RATER_ROLE: Final = "pricing_rater"
POSTER_ROLE: Final = "ledger_poster"
LANE_ROLES: Final[Mapping[str, tuple[str, ...]]] = {
    "metering": (WRITER_ROLE, RATED_RECEIPTS_ROLE, POSTED_RECEIPTS_ROLE),
    "pricing": (RATER_ROLE,),
    "ledger": (POSTER_ROLE,),
}
"""The lane roles of each service that has any."""

UNKNOWN_ORG: Final = "UNKNOWN_ORG"
UNKNOWN_SKU: Final = "UNKNOWN_SKU"
NO_ENTITLEMENT: Final = "NO_ENTITLEMENT"
PERIOD_CLOSED: Final = "PERIOD_CLOSED"
EVENT_IN_FUTURE: Final = "EVENT_IN_FUTURE"
CORRECTION_BELOW_ZERO: Final = "CORRECTION_BELOW_ZERO"
CORRECTION_EXCEEDS_CHARGED: Final = "CORRECTION_EXCEEDS_CHARGED"
PAYLOAD_MISMATCH: Final = "PAYLOAD_MISMATCH"
UNDECODABLE: Final = "UNDECODABLE"
PROCESSING_FAILED: Final = "PROCESSING_FAILED"
DEAD_LETTER_REASONS: Final = (
    UNKNOWN_ORG,
    UNKNOWN_SKU,
    NO_ENTITLEMENT,
    PERIOD_CLOSED,
    EVENT_IN_FUTURE,
    CORRECTION_BELOW_ZERO,
    CORRECTION_EXCEEDS_CHARGED,
    PAYLOAD_MISMATCH,
    UNDECODABLE,
    PROCESSING_FAILED,
)
"""Why an event is not charged (spec 08 choice 8), whichever service finds it out."""

MEBIBYTE: Final = 1024 * 1024
METERING_IN_BYTES_MAX: Final = 2_048 * MEBIBYTE
"""About 10 million events; a full stream refuses new ones, it never drops old ones."""
LANE_STREAM_BYTES_MAX: Final = 2_048 * MEBIBYTE
"""For each stream between the money services."""
EVENTS_BYTES_MAX: Final = 256 * MEBIBYTE
DEAD_BYTES_MAX: Final = 256 * MEBIBYTE


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """A stream: name, subjects and the most bytes it keeps."""

    name: str
    subjects: tuple[str, ...]
    max_bytes: int


METERING_IN: Final = StreamSpec("METERING_IN", (f"{INTAKE_SUBJECT}.*",), METERING_IN_BYTES_MAX)
METERING_OUT: Final = StreamSpec("METERING_OUT", (f"{ACCEPTED_SUBJECT}.*",), LANE_STREAM_BYTES_MAX)
PRICING_OUT: Final = StreamSpec("PRICING_OUT", (f"{RATED_SUBJECT}.*",), LANE_STREAM_BYTES_MAX)
LEDGER_OUT: Final = StreamSpec("LEDGER_OUT", (f"{POSTED_SUBJECT}.*",), LANE_STREAM_BYTES_MAX)
EVENTS: Final = StreamSpec("EVENTS", (f"{EVENTS_SUBJECT}.>",), EVENTS_BYTES_MAX)
DEAD: Final = StreamSpec("DEAD", (f"{DEAD_SUBJECT}.>",), DEAD_BYTES_MAX)
STREAMS: Final = (METERING_IN, METERING_OUT, PRICING_OUT, LEDGER_OUT, EVENTS, DEAD)
"""Every stream of the product."""
STREAMS_MIB_DEFAULT: Final = sum(spec.max_bytes for spec in STREAMS) // MEBIBYTE
"""What all streams together reserve of the disk."""
STREAMS_MIB_MIN: Final = 128
"""The smallest deployment: a few days of little usage."""


def sized(specs: Sequence[StreamSpec], streams_mib: int) -> tuple[StreamSpec, ...]:
    """Return streams whose sizes are such that all streams of the product together have `streams_mib` MiB."""
    return tuple(replace(spec, max_bytes=spec.max_bytes * streams_mib // STREAMS_MIB_DEFAULT) for spec in specs)


def lane_subject(subject: str, lane: int) -> str:
    """Return the subject of one lane, such as `metering.in.7`."""
    return f"{subject}.{lane}"
