"""A server of the toy service in a process of its own, whose memory and connections test_grpc_doors.py looks at.

It says where it listens, and for each line that it reads which calls hold a place.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from apportion_common.grpc import limits
from grpc_world import TOY, World, toy_registration
from prometheus_client import REGISTRY

NAMES = ("Public", "Anyone", "ForOperators", "ForServices")
IN_PROGRESS = "apportion_grpc_calls_in_progress"


async def echo(request: Any, context: Any) -> Any:
    """Answer at once, or after as many seconds as the request counts."""
    await asyncio.sleep(request.count)
    return request


def in_progress() -> dict[str, float]:
    return {s.labels["room"]: s.value for m in REGISTRY.collect() if m.name == IN_PROGRESS for s in m.samples}


async def main(folder: Path, request_timeout_s: int) -> None:
    limits.REQUEST_TIMEOUT_S = limits.STRANGER_REQUEST_TIMEOUT_S = request_timeout_s  # type: ignore[misc]
    world = World(folder)
    async with world.serving([toy_registration(**dict.fromkeys(NAMES, echo))], [TOY]) as served:
        await served.running.set_ready(True)
        tokens = {
            f"{role} of {who}": world.token(role, sub=f"user:{who}")
            for role in ("user", "operator", "service")
            for who in ("ada", "mallory")
        }
        print(
            json.dumps({"port": served.running.port, "ca": str(world.settings.tls_ca_file), "tokens": tokens}),
            flush=True,
        )
        while await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps({"in_progress": in_progress()}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
