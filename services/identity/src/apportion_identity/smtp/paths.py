"""The arguments of MAIL and RCPT, read strictly by RFC 5321, section 4.1.2; no header parser guesses at them.

Source routes (`<@relay:user@host>`), which the standard asks servers to be able to ignore, are rejected: the gateway
relays for nobody.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from apportion_identity.limits import LOCAL_PART_CHARS_MAX, SMTP_DOMAIN_CHARS_MAX, SMTP_PATH_CHARS_MAX

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LOCAL = rf"(?P<local>{_ATOM}(?:\.{_ATOM})*|\"(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\[\x20-\x7e])*\")"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN = rf"(?P<domain>{_LABEL}(?:\.{_LABEL})*|\[[\x21-\x5a\x5e-\x7e]+\])"
_PARAMETERS = r"(?P<parameters>(?: +[A-Za-z0-9][A-Za-z0-9-]*(?:=[\x21-\x3c\x3e-\x7e]+)?)*) *"
_MAIL: Final = re.compile(rf"FROM: *<(?:{_LOCAL}@{_DOMAIN})?>{_PARAMETERS}", re.IGNORECASE)
_RCPT: Final = re.compile(rf"TO: *<(?:{_LOCAL}@{_DOMAIN}|(?P<postmaster>postmaster))>{_PARAMETERS}", re.IGNORECASE)
_HELO: Final = re.compile(r"[\x21-\x7e]{1,255}")


@dataclass(frozen=True, slots=True)
class Path:
    """A forward or reverse path: the address as it came, without brackets; empty for the null sender."""

    address: str
    domain: str
    parameters: tuple[tuple[str, str], ...] = ()
    """Names in upper case, with their values (empty where there is none)."""


def read_mail(argument: str | None) -> Path | None:
    """Return what follows MAIL; None when it is malformed."""
    return _read(_MAIL, argument)


def read_rcpt(argument: str | None) -> Path | None:
    """Return what follows RCPT; None when it is malformed. `<Postmaster>` has no domain."""
    return _read(_RCPT, argument)


def read_helo(argument: str | None) -> str | None:
    """Return the name that a client calls itself by: one word of printable ASCII; None for anything else."""
    if argument is None or _HELO.fullmatch(argument) is None:
        return None
    return argument


def _read(pattern: re.Pattern[str], argument: str | None) -> Path | None:
    found = None if argument is None else pattern.fullmatch(argument)
    if found is None:
        return None
    parts = found.groupdict()
    local, domain = parts["local"] or parts.get("postmaster") or "", parts["domain"] or ""
    address = f"{local}@{domain}" if domain else local
    if len(local) > LOCAL_PART_CHARS_MAX or len(domain) > SMTP_DOMAIN_CHARS_MAX:
        return None
    return (
        None
        if len(address) + len("<>") > SMTP_PATH_CHARS_MAX
        else Path(address, domain, _parameters(parts["parameters"]))
    )


def _parameters(text: str) -> tuple[tuple[str, str], ...]:
    pairs = (word.partition("=") for word in text.split())
    return tuple((name.upper(), value) for name, _, value in pairs)
