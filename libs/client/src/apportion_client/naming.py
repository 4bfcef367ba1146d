"""Ids that a scenario's codes stand for when `apply` makes things: the same in every run and in every stack.

A value that is a UUID already is taken as it is. Which organisation, account, partner or plan has a name is asked of
the service that owns it, by `apportion_client.names`. Projects are not yet things of their own: the id of one is
derived from its organisation, as a file names it, and its code.
"""

from __future__ import annotations

import functools
from typing import Final
from uuid import UUID, uuid5

NAMESPACE: Final = UUID("6f1d3b1e-7c53-5d0a-9a0e-3d0f1f6b8a27")
"""Root of the ids that are derived from codes."""


def id_for(kind: str, code: str, prefix: str = "") -> UUID:
    """Return the id of the `kind` ("org", "account", "plan", "partner" …) that a file calls `code`, under a prefix."""
    try:
        return UUID(code)
    except ValueError:
        return uuid5(NAMESPACE, f"{kind}:{prefix}{code}")


@functools.cache
def org_id(code: str, prefix: str = "") -> UUID:
    """Return the id of an organisation."""
    return id_for("org", code, prefix)


@functools.cache
def project_id(org: str, code: str, prefix: str = "") -> UUID | None:
    """Return the id of an organisation's project; an empty code is no project."""
    return id_for("project", f"{org}/{code}" if not is_id(code) else code, prefix) if code else None


def account_id(code: str, prefix: str = "") -> UUID:
    """Return the id of a billing account."""
    return id_for("account", code, prefix)


def partner_id(code: str) -> UUID:
    """Return the id of a partner; partners are the same under every prefix."""
    return id_for("partner", code)


def plan_id(code: str) -> UUID:
    """Return the id of a plan; plans are the same under every prefix."""
    return id_for("plan", code)


def is_id(code: str) -> bool:
    """Return whether a value is an id and no code."""
    try:
        UUID(code)
    except ValueError:
        return False
    return True
