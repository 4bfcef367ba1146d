"""The charge models that can be rated, by name; each has a module beside this one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from apportion_pricing.domain.charge_models.graduated import Graduated
from apportion_pricing.domain.charge_models.model import ChargeModel
from apportion_pricing.domain.charge_models.per_unit import PerUnit

_MODELS: Final[tuple[ChargeModel[Any, Any], ...]] = (PerUnit(), Graduated())

MODELS: Final[Mapping[str, ChargeModel[Any, Any]]] = {model.name: model for model in _MODELS}
"""The model of each name; a row of another name is in no plan."""
