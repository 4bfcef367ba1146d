"""Mail addresses as they are compared: one form for all letter cases, nothing else taken away.

`+tags` and dots stay: whether they mean the same mailbox is for its own server to say (RFC 5321, section 2.3.11).
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from apportion_common.errors import InvalidArgument

from apportion_identity.domain.domain_names import canonical_domain
from apportion_identity.limits import ADDRESS_CHARS_MAX, LOCAL_PART_BYTES_MAX

_ATEXT: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]")
"""RFC 5322, section 3.2.3; quoted local parts are rejected, nobody has one."""
_LETTERS: Final = ("L", "M", "N")
"""Unicode categories that a local part may have beyond ASCII (RFC 6531): letters, marks and numbers."""


def normalise_address(text: str) -> str:
    """Return the address in the form that is stored and compared: NFC, lower case, the domain as A-labels.

    Letters are lowered one by one, so that no letter's place in a word changes what it becomes. A letter beyond ASCII
    that would become an ASCII one (the Kelvin sign, say) is rejected: it would be somebody else's address. Raises
    InvalidArgument EMAIL_MALFORMED.
    """
    local, at, domain = text.strip(" ").rpartition("@")
    if not at or len(text) > ADDRESS_CHARS_MAX:
        raise _malformed()
    try:
        address = f"{_normalise_local(local)}@{canonical_domain(domain)}"
    except InvalidArgument:
        raise _malformed() from None
    if len(address) > ADDRESS_CHARS_MAX or "." not in domain_of(address):
        raise _malformed()
    return address


def domain_of(address: str) -> str:
    """Return the domain of a normalised address."""
    return address.rpartition("@")[2]


def _normalise_local(text: str) -> str:
    lowered = unicodedata.normalize("NFC", "".join(map(_lower, unicodedata.normalize("NFC", text))))
    is_dot_atom = all(label and all(map(_is_allowed, label)) for label in lowered.split("."))
    if not is_dot_atom or len(lowered.encode()) > LOCAL_PART_BYTES_MAX or _folds_to_ascii(text):
        raise _malformed()
    return lowered


def _lower(character: str) -> str:
    return character.lower()


def _is_allowed(character: str) -> bool:
    if character.isascii():
        return _ATEXT.fullmatch(character) is not None
    return unicodedata.category(character)[0] in _LETTERS


def _folds_to_ascii(text: str) -> bool:
    """Return whether a character beyond ASCII is, or is lowered to, something that begins with an ASCII one."""
    composed = unicodedata.normalize("NFC", text)
    return any(
        not character.isascii() and unicodedata.normalize("NFC", character).lower()[0].isascii()
        for character in text + composed
    )


def _malformed() -> InvalidArgument:
    return InvalidArgument("EMAIL_MALFORMED", "This is not a mail address.", field="email")


def same_address(one: str, other: str) -> bool:
    """Return whether two stored addresses are the same; one that does not fit the rules equals only itself."""
    try:
        return normalise_address(one) == normalise_address(other)
    except InvalidArgument:
        return one == other
