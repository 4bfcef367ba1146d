"""How the streams of the topology come to be, and stay as they must be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig, StreamInfo
from nats.js.errors import APIError, NotFoundError

from apportion_common.errors import FailedPrecondition
from apportion_common.standstill import STREAM_NOT_FOUND
from apportion_common.topology import STREAMS, StreamSpec

DUPLICATE_WINDOW_S: Final = 120
"""How long a stream remembers message ids."""
REPLICAS: Final = 1
"""Default copies of a stream; a cluster sets 3."""


def is_missing_stream(error: BaseException) -> bool:
    """Return whether a request failed because the stream is not there."""
    return isinstance(error, APIError) and error.err_code == STREAM_NOT_FOUND


def _wanted(name: str, subjects: Sequence[str], max_bytes: int, replicas: int) -> StreamConfig:
    return StreamConfig(
        name=name,
        subjects=list(subjects),
        storage=StorageType.FILE,
        retention=RetentionPolicy.LIMITS,
        # The default, "old", would delete unread events of a full stream; so would any maximal age.
        discard=DiscardPolicy.NEW,
        max_age=0,
        max_bytes=max_bytes,
        duplicate_window=DUPLICATE_WINDOW_S,
        allow_direct=True,
        num_replicas=replicas,
    )


async def ensure_stream(
    js: JetStreamContext, name: str, subjects: Sequence[str], *, max_bytes: int, replicas: int = REPLICAS
) -> StreamInfo:
    """Make a stream that loses nothing, or bring the one that is there to that; several processes may race.

    File storage, limits retention, refuses new messages when full, keeps messages forever, remembers message ids
    for DUPLICATE_WINDOW_S, answers direct reads. Of a stream that is there, size, copies and further subjects stay as
    its operator set them. FailedPrecondition STREAM_MISCONFIGURED when it cannot be brought to what is needed.
    """
    wanted = _wanted(name, subjects, max_bytes, replicas)
    try:
        info = await js.stream_info(name)
    except NotFoundError:
        try:
            return await js.add_stream(wanted)
        except APIError:
            # Another process may have made it meanwhile; anything else shows again here.
            try:
                info = await js.stream_info(name)
            except NotFoundError:
                info = await js.add_stream(wanted)
    return await _adjust(js, info, wanted)


async def ensure_streams(
    js: JetStreamContext,
    specs: Sequence[StreamSpec] = STREAMS,
    *,
    replicas: int = REPLICAS,
    max_bytes: int | None = None,
) -> None:
    """Make or check several streams, every one of the product by default; `max_bytes` replaces each one's own."""
    for spec in specs:
        size_bytes = spec.max_bytes if max_bytes is None else max_bytes
        await ensure_stream(js, spec.name, spec.subjects, max_bytes=size_bytes, replicas=replicas)


async def _adjust(js: JetStreamContext, info: StreamInfo, wanted: StreamConfig) -> StreamInfo:
    """Change of an existing stream what would lose messages or break reading."""
    config = info.config
    if config.storage != StorageType.FILE or config.retention != RetentionPolicy.LIMITS:
        raise FailedPrecondition(
            "STREAM_MISCONFIGURED",
            f"Stream {wanted.name} must have file storage and limits retention; that cannot be changed afterwards.",
            stream=str(wanted.name),
        )
    have, need = set(config.subjects or ()), set(wanted.subjects or ())
    sound = (
        need <= have
        and config.discard == DiscardPolicy.NEW
        and not config.max_age
        and (config.duplicate_window or 0) >= DUPLICATE_WINDOW_S
        and bool(config.allow_direct)
        and (config.max_msgs or -1) < 0
        and config.max_msgs_per_subject <= 0
    )
    if sound:
        return info
    config.subjects = sorted(have | need)
    config.discard = DiscardPolicy.NEW
    config.max_age = 0
    config.duplicate_window = max(config.duplicate_window or 0, DUPLICATE_WINDOW_S)
    config.allow_direct = True
    config.max_msgs = -1
    config.max_msgs_per_subject = -1
    try:
        return await js.update_stream(config)
    except APIError as error:
        raise FailedPrecondition(
            "STREAM_MISCONFIGURED",
            f"Stream {wanted.name} differs from what is needed and refused the change: {error.description}.",
            stream=str(wanted.name),
        ) from error
