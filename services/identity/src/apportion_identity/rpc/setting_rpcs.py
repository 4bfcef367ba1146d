"""Global settings: proto in, use case, proto out."""

from __future__ import annotations

from typing import Any

from apportion.identity.v1 import identity_service_pb2 as pb
from apportion.identity.v1.identity_service_pb2_grpc import IdentityServiceServicer
from apportion_common.db.idempotency import run_mutation
from apportion_common.db.unit_of_work import Database, Transaction

from apportion_identity.app.messages import setting_message
from apportion_identity.app.settings import GlobalSettings


class SettingRpcs(IdentityServiceServicer):
    """The RPCs about settings that change at run time."""

    _database: Database
    _settings: GlobalSettings

    async def ListGlobalSettings(
        self, request: pb.ListGlobalSettingsRequest, context: Any
    ) -> pb.ListGlobalSettingsResponse:
        """List all settings, by their keys."""
        async with self._database.read() as connection:
            found = await self._settings.all(connection)
        return pb.ListGlobalSettingsResponse(settings=[setting_message(setting, row) for setting, row in found])

    async def GetGlobalSetting(self, request: pb.GetGlobalSettingRequest, context: Any) -> pb.GetGlobalSettingResponse:
        """Read a setting."""
        async with self._database.read() as connection:
            setting, row = await self._settings.find(connection, request.key)
        return pb.GetGlobalSettingResponse(setting=setting_message(setting, row))

    async def SetGlobalSetting(self, request: pb.SetGlobalSettingRequest, context: Any) -> pb.SetGlobalSettingResponse:
        """Change a setting."""

        async def work(tx: Transaction) -> pb.SetGlobalSettingResponse:
            setting, row = await self._settings.change(tx, request.key, request.value, request.reason)
            return pb.SetGlobalSettingResponse(setting=setting_message(setting, row))

        answer = await run_mutation(self._database, "SetGlobalSetting", request, pb.SetGlobalSettingResponse, work)
        self._settings.forget()
        return answer
