"""The wheels of the workspace, built once for these tests."""

from __future__ import annotations

import pytest
from wheelhouse import Wheels, build_wheels


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Wheels:
    return build_wheels(tmp_path_factory.mktemp("wheels"))
