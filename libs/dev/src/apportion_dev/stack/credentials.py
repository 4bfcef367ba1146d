"""Passwords, certificates and tokens of a local stack: made once, private, short-lived where they can be."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from apportion_client.local_stack import StackNotUpError
from apportion_client.settings import SERVICES
from apportion_common.bus.rights import RIGHTS
from apportion_common.clock import Clock, SystemClock
from apportion_common.files import write_file

from apportion_dev.local.keys import LocalCa, ServerCertificate, TokenSigningKey, mint_token, write_jwks
from apportion_dev.local.ports import LOOPBACK
from apportion_dev.local.postgres import RolePasswords
from apportion_dev.local.postgres_files import new_password
from apportion_dev.stack.layout import OPERATOR, Layout

TOKEN_ISSUER = "https://identity.apportion.local"  # noqa: S105 - a public name
TOKEN_AUDIENCE = "apportion"  # noqa: S105 - a public name
TOKEN_LIFE_S = 15 * 60
TOKEN_REFRESH_S = 5 * 60

SERVICE_ROLE = "service"
OPERATOR_ROLES = ("operator", "finance")

SECRET_KEY_BYTES = 32

_PRIVATE = 0o600
_PUBLIC = 0o644


def write_once(file: Path, content: bytes, mode: int) -> None:
    """Write a file whole with that mode, unless it is there: what one start has made, the next ones use."""
    if not file.exists():
        write_file(file, content, mode)


@dataclass(frozen=True, slots=True)
class Passwords:
    """The passwords of the stack, by database role owner's service and by NATS user."""

    roles: dict[str, RolePasswords]
    nats: dict[str, str]

    @classmethod
    def create_or_load(cls, layout: Layout) -> Passwords:
        """Load the passwords of the layout, or make them; a NATS user that an older stack did not have gets one."""
        file = layout.passwords_file
        if not file.exists():
            fresh = {
                "roles": {service: {"owner": new_password(), "app": new_password()} for service in SERVICES},
                "nats": {},
            }
            write_file(file, json.dumps(fresh, indent=2).encode("ascii"), _PRIVATE)
        kept = json.loads(file.read_text(encoding="ascii"))
        missing = [user for user in RIGHTS if user not in kept["nats"]]
        if missing:
            kept["nats"] |= {user: new_password() for user in missing}
            write_file(file, json.dumps(kept, indent=2).encode("ascii"), _PRIVATE)
        return cls(
            {service: RolePasswords(**pair) for service, pair in kept["roles"].items()},
            dict(kept["nats"]),
        )


@dataclass(frozen=True, slots=True)
class StackKeys:
    """The stack's authority, the certificates of its servers, and the key that signs its tokens."""

    ca: LocalCa
    certificates: dict[str, ServerCertificate]
    signing: TokenSigningKey

    @classmethod
    def create_or_load(cls, layout: Layout, now: datetime) -> StackKeys:
        """Load or make the authority and the signing key, and issue fresh certificates."""
        ca = LocalCa.create_or_load(layout.tls, now)
        certificates = {
            name: ca.issue_server_certificate([name, "localhost", LOOPBACK], now, name) for name in (*SERVICES, "nats")
        }
        signing = TokenSigningKey.create_or_load(layout.signing_key_file)
        write_jwks(layout.jwks_file, [signing])
        write_once(layout.key_encryption_key_file, secrets.token_bytes(SECRET_KEY_BYTES), _PRIVATE)
        write_once(layout.proof_key_file, secrets.token_bytes(SECRET_KEY_BYTES), _PRIVATE)
        write_once(layout.oidc_issuers_file, b"[]\n", _PUBLIC)
        return cls(ca, certificates, signing)


def mint(
    signing: TokenSigningKey,
    sub: str,
    roles: Sequence[str],
    now: datetime,
    *,
    org_id: str | None = None,
    ttl_s: int = TOKEN_LIFE_S,
    amr: Sequence[str] = (),
) -> str:
    """Return a token of the local issuer for a subject; see mint_token."""
    return mint_token(
        signing.private_key,
        signing.kid,
        TOKEN_ISSUER,
        TOKEN_AUDIENCE,
        sub,
        roles,
        now=now,
        ttl_s=ttl_s,
        org_id=org_id,
        amr=amr,
    )


def write_tokens(layout: Layout, signing: TokenSigningKey, now: datetime) -> None:
    """Write a fresh token for each service and for the operator, each whole or not at all."""
    holders: dict[str, tuple[str, Sequence[str]]] = {
        service: (f"service:{service}", (SERVICE_ROLE,)) for service in SERVICES
    }
    holders[OPERATOR] = ("user:operator", OPERATOR_ROLES)
    for holder, (sub, roles) in holders.items():
        write_file(layout.token_file(holder), mint(signing, sub, roles, now).encode("ascii"), _PRIVATE)


def mint_local_token(
    layout: Layout,
    sub: str,
    roles: Sequence[str],
    *,
    org_id: str | None = None,
    ttl_s: int = TOKEN_LIFE_S,
    amr: Sequence[str] = (),
    clock: Clock | None = None,
) -> str:
    """Return a token signed with the key of the stack in that layout; raises StackNotUpError when it has none yet."""
    if not layout.signing_key_file.exists():
        raise StackNotUpError(f"The stack in {layout.root} has no signing key yet: start it with 'apportion stack up'.")
    signing = TokenSigningKey.create_or_load(layout.signing_key_file)
    now = (SystemClock() if clock is None else clock).now()
    return mint(signing, sub, roles, now, org_id=org_id, ttl_s=ttl_s, amr=amr)
