"""A small service of the real kind, started as a process by test_run.py."""

from __future__ import annotations

import asyncio
import os
from functools import partial
from typing import Any

import sqlalchemy
from apportion.orgs.v1 import orgs_service_pb2, orgs_service_pb2_grpc
from apportion_common import failpoints
from apportion_common.db.unit_of_work import Database
from apportion_common.run import Runtime, run_service
from apportion_common.settings import ServiceSettings
from pydantic import Field

failpoints.register("toy.working")


class Settings(ServiceSettings):
    database_url: str = Field(validation_alias="ORGS_DATABASE_URL", description="The toy's database.", repr=False)


class Orgs(orgs_service_pb2_grpc.OrgsServiceServicer):
    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def CheckHierarchy(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Says that it began, and takes a while."""
        print("call begun", flush=True)
        await asyncio.sleep(float(os.environ.get("TOY_CALL_S", "0")))
        async with self._runtime.database.read() as connection:
            await connection.execute(sqlalchemy.text(os.environ.get("TOY_QUERY", "SELECT 1")))
        return orgs_service_pb2.CheckHierarchyResponse()


async def work(database: Database, ending: asyncio.Event) -> None:
    if os.environ.get("TOY_FAILS"):
        raise RuntimeError("the toy breaks")
    while not ending.is_set():
        failpoints.hit("toy.working")
        if os.environ.get("TOY_WRITES"):
            async with database.transaction() as tx:
                await tx.execute("SELECT 1")
            print("work goes on", flush=True)
        await asyncio.sleep(0.01)
    print("work ended", flush=True)


async def build(runtime: Runtime) -> None:
    servicer = Orgs(runtime)
    runtime.serve(
        lambda server: orgs_service_pb2_grpc.add_OrgsServiceServicer_to_server(servicer, server),
        "apportion.orgs.v1.OrgsService",
    )
    runtime.background("work", partial(work, runtime.database))


if __name__ == "__main__":
    asyncio.run(run_service(Settings(), build))
