from __future__ import annotations

from apportion_common.migrations.environment import run
from apportion_pricing.store.tables import metadata

run(metadata, service="pricing")
