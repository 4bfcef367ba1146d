"""Metrics, registered once per process and name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from prometheus_client import Counter, Gauge, Histogram

RPC_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

_Metric = TypeVar("_Metric", Counter, Gauge, Histogram)
_made: dict[str, Counter | Gauge | Histogram] = {}


def counter(name: str, documentation: str, labels: Sequence[str] = ()) -> Counter:
    """Return the process's counter of that name; made at the first call. Raises ValueError when it is another kind."""
    return _made_once(name, Counter, lambda: Counter(name, documentation, labels))


def gauge(name: str, documentation: str, labels: Sequence[str] = ()) -> Gauge:
    """Return the process's gauge of that name; made at the first call. Raises ValueError when it is another kind."""
    return _made_once(name, Gauge, lambda: Gauge(name, documentation, labels))


def histogram(
    name: str, documentation: str, labels: Sequence[str] = (), *, buckets: Sequence[float] = RPC_BUCKETS_S
) -> Histogram:
    """Return the process's histogram of that name; made at the first call. Raises ValueError when it is another
    kind.
    """
    return _made_once(name, Histogram, lambda: Histogram(name, documentation, labels, buckets=buckets))


def _made_once(name: str, kind: type[_Metric], make: Callable[[], _Metric]) -> _Metric:
    known = _made.setdefault(name, make()) if name not in _made else _made[name]
    if not isinstance(known, kind):
        raise ValueError(f"The metric {name} is a {type(known).__name__}, not a {kind.__name__}.")
    return known


def split_address(address: str) -> tuple[str, int]:
    """Return the host and port of `host:port` or `[v6]:port`. Raises ValueError for anything else."""
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise ValueError(f"The address {address!r} does not read host:port.")
    return host, int(port)
