"""How far the lanes have come, from the intake stream to the ledger."""

from __future__ import annotations

from dataclasses import dataclass

from apportion_common.db.unit_of_work import Database
from apportion_common.errors import Unavailable

from apportion_metering.app import metrics
from apportion_metering.app.edges import IntakeStream
from apportion_metering.domain.progress import LaneState, is_drained
from apportion_metering.domain.stream import StreamCondition, StreamState
from apportion_metering.store.journal import JournalStore


@dataclass(frozen=True, slots=True)
class LaneProgress:
    """A lane's state and the last sequence of its subject; 0 while the stream is unreachable."""

    state: LaneState
    stream_last_seq: int


@dataclass(frozen=True, slots=True)
class PipelineStatus:
    """The whole pipeline."""

    lanes: list[LaneProgress]
    event_count: int
    open_dead_letters: dict[str, int]
    drained: bool
    stream: StreamState


class Lanes:
    """The use case behind GetPipelineStatus."""

    def __init__(self, database: Database, journal: JournalStore, stream: IntakeStream) -> None:
        self._database = database
        self._journal = journal
        self._stream = stream

    async def status(self) -> PipelineStatus:
        """Return every lane's state; drained when nothing is under way between the stream and the ledger.

        While the stream is unreachable nobody knows what it holds, and nothing counts as drained.
        """
        # The stream is queried first: what is committed afterwards can only be more than what it holds now.
        async with self._database.read() as connection:
            waiting = await self._journal.waiting_controls(connection)
        last_seqs, stream = await self._ends_of_stream()
        async with self._database.read(snapshot=True) as connection:
            lanes = await self._journal.lanes(connection)
            event_count = await self._journal.event_total(connection)
            open_dead_letters = await self._journal.open_dead_letters(connection)
            waiting += await self._journal.waiting_controls(connection)
        metrics.LANE_LAG.labels("rated").set(sum(lane.batch_seq - lane.rated_batch_seq for lane in lanes))
        metrics.LANE_LAG.labels("posted").set(sum(lane.batch_seq - lane.posted_batch_seq for lane in lanes))
        return PipelineStatus(
            [LaneProgress(lane, (last_seqs or {}).get(lane.lane, 0)) for lane in lanes],
            event_count,
            open_dead_letters,
            waiting == 0 and last_seqs is not None and is_drained(lanes, last_seqs),
            stream,
        )

    async def _ends_of_stream(self) -> tuple[dict[int, int] | None, StreamState]:
        """Return each lane's last sequence on the stream, None while it is unreachable, and the stream's state.

        Raises Unavailable STREAM_UNAVAILABLE when it answers, but not this.
        """
        state = await self._stream.state()
        if state.condition is StreamCondition.UNREACHABLE:
            return None, state
        try:
            return await self._stream.last_seqs(), state
        except Unavailable:
            state = await self._stream.state()
            if state.condition is not StreamCondition.UNREACHABLE:
                raise
            return None, state
