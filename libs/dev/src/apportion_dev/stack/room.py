"""Whether the disk has the room that a first start needs; asked before anything is started."""

from __future__ import annotations

from apportion_client.local_stack import StackError

from apportion_dev.local.machine import free_mib
from apportion_dev.stack.layout import Layout
from apportion_dev.stack.options import STREAMS_SETTING

POSTGRES_MIB = 400
"""PostgreSQL's data and its write-ahead log before the first event."""
NATS_SHARE_PERCENT = 75
"""The share of the free disk that the NATS server lets its streams have."""


def needed_mib(streams_mib: int) -> int:
    """Return the free room that a first start needs for streams of that size together."""
    return -(-streams_mib * 100 // NATS_SHARE_PERCENT) + POSTGRES_MIB


def require_room(layout: Layout, streams_mib: int) -> None:
    """Raise StackError when streams are still to be made and the disk has not the room for them.

    A stack that has its streams goes on, also where its disk has become smaller.
    """
    if any((layout.nats / "store" / "jetstream").glob("*/streams/*")):
        return
    need, have = needed_mib(streams_mib), free_mib(layout.root)
    if have < need:
        raise StackError(
            f"A first start needs {_gib(need)} free on the disk of {layout.root}, and {_gib(have)} are: the streams "
            f"reserve {_gib(streams_mib)}, the NATS server lets them have {NATS_SHARE_PERCENT} % of what is free, and "
            f"PostgreSQL takes {_gib(POSTGRES_MIB)}. Make room, or set {STREAMS_SETTING} to fewer MiB for all "
            "streams together."
        )


def _gib(mib: int) -> str:
    return f"{mib / 1024:.1f} GiB"
