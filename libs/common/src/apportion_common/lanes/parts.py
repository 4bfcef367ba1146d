"""Batches in parts: put a batch that came in several messages together, and check one that is to go out.

The parts of a batch follow one another, from part 0 to the last, and each says how many there are.
"""

from __future__ import annotations

from collections.abc import Sequence

from apportion_common.lanes.errors import LaneStopped
from apportion_common.lanes.limits import BATCH_PARTS_MAX, OUTPUT_PART_BYTES_MAX
from apportion_common.lanes.model import WHOLE, LaneOutput


def part_fault(
    expected: int, gathered: Sequence[tuple[int, int]], batch_seq: int, part: tuple[int, int]
) -> LaneStopped | None:
    """Return why a message cannot come next, or None when it can.

    `expected` is the batch that comes next or is being gathered, `gathered` are its parts so far, and `part` is the
    (index, count) of the message. BATCH_SEQ_GAP when a whole batch is missing, BATCH_PART_GAP when a part is wrong.
    """
    index, count = part
    if batch_seq > expected and not gathered:
        return LaneStopped("BATCH_SEQ_GAP", f"batch {expected} is missing, {batch_seq} came")
    wanted_count = gathered[0][1] if gathered else count
    if batch_seq != expected or index != len(gathered) or count != wanted_count or not index < count <= BATCH_PARTS_MAX:
        wanted = f"part {len(gathered)} of {wanted_count} of batch {expected}"
        return LaneStopped("BATCH_PART_GAP", f"{wanted} is missing, part {index} of {count} of batch {batch_seq} came")
    return None


def check_outputs(outputs: Sequence[LaneOutput]) -> None:
    """Raise LaneStopped OUTPUT_TOO_LARGE for what no stream takes, ValueError for parts that are not in their order."""
    index, count = WHOLE
    for output in outputs:
        if output.part_count > BATCH_PARTS_MAX:
            raise LaneStopped(
                "OUTPUT_TOO_LARGE",
                f"batch {output.batch_seq} has {output.part_count} parts, more than {BATCH_PARTS_MAX}",
            )
        if len(output.payload) > OUTPUT_PART_BYTES_MAX:
            raise LaneStopped(
                "OUTPUT_TOO_LARGE",
                f"part {output.part} of batch {output.batch_seq} has {len(output.payload)} bytes,"
                f" more than {OUTPUT_PART_BYTES_MAX}",
            )
        if not index:
            count = output.part_count
        if output.part != index or output.part_count != count:
            raise ValueError(f"Part {output.part} of {output.part_count} where part {index} of {count} was due.")
        index = (index + 1) % count
    if index:
        raise ValueError(f"A batch of {count} parts ends before part {index}.")
