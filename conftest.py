"""Every test of the workspace runs against real servers."""

from __future__ import annotations

pytest_plugins = ["apportion_common.testing.plugin"]
