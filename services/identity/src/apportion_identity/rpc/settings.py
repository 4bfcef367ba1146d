"""Global settings: proto in, use case, proto out."""

from __future__ import annotations

from typing import Any

from apportion.identity.v1 import identity_service_pb2 as pb
from apportion.identity.v1.identity_service_pb2_grpc import IdentityServiceServicer
from apportion_common.db.idempotency import mutation

from apportion_identity.app.settings import CurrentSetting, GlobalSettings
from apportion_identity.rpc.messages import setting_to_message


class SettingRpcs(IdentityServiceServicer):
    """The RPCs about settings that change at run time."""

    _settings: GlobalSettings

    async def ListGlobalSettings(
        self, request: pb.ListGlobalSettingsRequest, context: Any
    ) -> pb.ListGlobalSettingsResponse:
        """List all settings, by their keys."""
        return pb.ListGlobalSettingsResponse(settings=map(setting_to_message, await self._settings.all()))

    async def GetGlobalSetting(self, request: pb.GetGlobalSettingRequest, context: Any) -> pb.GetGlobalSettingResponse:
        """Read a setting."""
        return pb.GetGlobalSettingResponse(setting=setting_to_message(await self._settings.find(request.key)))

    async def SetGlobalSetting(self, request: pb.SetGlobalSettingRequest, context: Any) -> pb.SetGlobalSettingResponse:
        """Change a setting."""
        return await self._settings.change(mutation(request, _changed), request.key, request.value, request.reason)


def _changed(setting: CurrentSetting) -> pb.SetGlobalSettingResponse:
    return pb.SetGlobalSettingResponse(setting=setting_to_message(setting))
