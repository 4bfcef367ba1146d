"""Organisations as use cases and stores pass them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Org:
    """An organisation; empty texts for what is not known of it."""

    org_id: UUID
    legal_name: str
    slug: str
    billing_email: str
    default_timezone: str
    tax_id: str
    visibility: str
    parent_org_id: UUID | None


class OrgAtDepth(NamedTuple):
    """An organisation so many levels away from another."""

    org: Org
    depth: int
