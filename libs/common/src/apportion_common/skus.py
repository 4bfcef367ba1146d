"""The form of SKUs, and their types: the same words in every service."""

from __future__ import annotations

import re
from typing import Final

SKU_TYPES: Final = ("hosting", "object", "validation", "action", "analytics")
"""What a commission rate may be for beside an exact SKU; the contract of pricing has them as SKU_TYPE_HOSTING, …"""
SKU_CHARS_MAX: Final = 64

_SKU: Final = re.compile(r"[A-Z][A-Z0-9]*(-[A-Z0-9]+)*")


def is_sku(text: str) -> bool:
    """Return whether a text has the form of a SKU, such as ACT-EMAIL; the catalog says which ones there are."""
    return len(text) <= SKU_CHARS_MAX and _SKU.fullmatch(text) is not None


def sku_type_alike(text: str) -> str:
    """Return the SKU type that a wrong text may stand for, such as `action` for SKU_TYPE_ACTION; empty for none."""
    word = text.strip().lower().removeprefix("sku_type_")
    return word if word in SKU_TYPES else ""
