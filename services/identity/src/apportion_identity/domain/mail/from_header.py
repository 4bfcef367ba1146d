"""The one mailbox that a From field names, read from its raw bytes (RFC 5322, section 3.4, without obsolete syntax).

Mail programs and servers disagree on From fields that are not quite regular, and that disagreement is how one domain is
shown while another was checked. So only what all of them read alike is taken: one mailbox, an optional display name of
atoms and quoted strings, comments only around the mailbox, a plain local part and a host name. UTF-8 may stand where
RFC 6532 allows it, except in the local part.
"""

from __future__ import annotations

import re
import unicodedata
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass
from encodings import normalize_encoding
from encodings.aliases import aliases
from typing import Final

from apportion_common.errors import InvalidArgument

from apportion_identity.domain.domain_names import canonical_domain
from apportion_identity.domain.mail.types import Rejection
from apportion_identity.limits import ADDRESS_FIELD_BYTES_MAX, LOCAL_PART_CHARS_MAX

_ATOM: Final = r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~\u0080-\U0010ffff]"
# Each alternative begins with a character of its own, so that reading takes one pass.
_TOKEN: Final = re.compile(
    rf"""(?P<white>[ \t\n]+)
      | "(?P<quoted>(?:[^"\\]|\\.)*)"
      | \((?P<comment>[^()\\"]*)\)
      | (?P<atom>{_ATOM}+)
      | (?P<special>.)""",
    re.VERBOSE,
)
_ENCODED_WORD: Final = re.compile(r"=\?([^?]*)\?([^?]*)\?([^?]*)\?=")
_BETWEEN_WORDS: Final = re.compile(r"\?=[ \t]+=\?")
_Q_OCTET: Final = re.compile(rb"=([0-9A-Fa-f]{2})")
# Python remembers every unknown name that it is asked for, forever: only names that it knows are asked for.
_CHARSETS: Final = {**{module: module for module in aliases.values()}, **aliases, "koi8_u": "koi8_u"}
# Control characters (Cc) and the separators that some software takes for line ends: NEL is one, LS and PS are others.
_LINE_BREAKING: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")
# What, once decoded, could pass for an address or end a line.
_DECEPTIVE: Final = re.compile(r"[@<>\x00-\x1f\x7f]")

_FROM: Final[dict[str, str]] = {
    "FROM_ABSENT": "The message has no From field. Send it through an ordinary mail program.",
    "FROM_REPEATED": "The message has several From fields; it may have one only. Send it through an ordinary mail "
    "program.",
    "FROM_TOO_LONG": "The From field is too long.",
    "FROM_NOT_UTF8": "The From field has bytes that are neither ASCII nor UTF-8.",
    "FROM_CONTROL_CHARACTER": "The From field has a control character.",
    "FROM_SEVERAL_MAILBOXES": "The From field names several mailboxes; it may name one only.",
    "FROM_GROUP": "The From field uses group syntax, or has a colon outside quotes. Give one address.",
    "FROM_ROUTE": "The From field's address has a route, which is obsolete. Give the plain address.",
    "FROM_OBSOLETE_SYNTAX": "The From field uses obsolete syntax: put a display name with a full stop in quotes, and "
    "no spaces or comments into the address.",
    "FROM_NO_ADDRESS": "The From field has no address.",
    "FROM_LOCAL_PART": "The part of the From address before the @ is not one that all servers read alike: letters, "
    "digits and ordinary signs, at most 64, not quoted.",
    "FROM_ENCODED": "The From address is written as an encoded word, or an encoded display name hides an address.",
    "FROM_FOLDED": "The From field is folded inside quotes or a comment, which servers read differently. Use a shorter "
    "display name.",
    "FROM_DOMAIN_LITERAL": "The From address has an IP address for its domain. Write from an address of the domain.",
    "FROM_DOMAIN_MALFORMED": "The domain of the From address is no valid host name.",
    "FROM_MALFORMED": "The From field is not one mailbox as RFC 5322 writes it. Use the form: Name "
    "<person@example.com>.",
}
REASONS: Final = _FROM


@dataclass(frozen=True, slots=True)
class Mailbox:
    """One mailbox: the local part as it is written, the domain in A-labels and lower case."""

    local_part: str
    domain: str


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str

    def is_special(self, character: str) -> bool:
        return self.kind == "special" and self.text == character


def split_from(raw_values: Sequence[bytes]) -> Mailbox | Rejection:
    """Return the mailbox that a message is from; takes the raw values of all its From fields, their folds included."""
    if not raw_values:
        return _rejection("FROM_ABSENT")
    if len(raw_values) > 1:
        return _rejection("FROM_REPEATED")
    found = split_mailbox(raw_values[0])
    return found if isinstance(found, Mailbox) else _rejection(f"FROM_{found}")


def split_mailbox(raw_value: bytes) -> Mailbox | str:
    """Return the mailbox of one field's raw value, or why there is none: a reason without the field's name."""
    if len(raw_value) > ADDRESS_FIELD_BYTES_MAX:
        return "TOO_LONG"
    try:
        text = raw_value.removesuffix(b"\r\n").decode()
    except UnicodeDecodeError:
        return "NOT_UTF8"
    # Only line ends that white space follows are folds (RFC 5322, section 2.2.3); they are told apart as plain LF.
    if _LINE_BREAKING.search(text.replace("\r\n ", " ").replace("\r\n\t", "\t")):
        return "CONTROL_CHARACTER"
    text = text.replace("\r\n", "\n")
    tokens = [_Token(str(found.lastgroup), found[found.lastgroup or 0]) for found in _TOKEN.finditer(text)]
    if any("\n" in token.text for token in tokens if token.kind != "white"):
        return "FOLDED"
    tokens = _trimmed(tokens)
    if not tokens:
        return "NO_ADDRESS"
    if (problem := _problem_outside(tokens)) is not None:
        return problem
    if not any(token.is_special("<") for token in tokens):
        return _address(tokens, alone=True)
    start = next(place for place, token in enumerate(tokens) if token.is_special("<"))
    if not tokens[-1].is_special(">"):
        return "MALFORMED"
    phrase, address = tokens[:start], tokens[start + 1 : -1]
    if (problem := _problem_of_phrase(phrase)) is not None:
        return problem
    return _address(address, alone=False)


def _rejection(reason: str) -> Rejection:
    return Rejection(reason, _FROM[reason])


def _trimmed(tokens: list[_Token]) -> list[_Token]:
    """Return the tokens without white space and comments before and after the mailbox."""
    start, end = 0, len(tokens)
    while start < end and tokens[start].kind in ("white", "comment"):
        start += 1
    while end > start and tokens[end - 1].kind in ("white", "comment"):
        end -= 1
    return tokens[start:end]


def _problem_outside(tokens: list[_Token]) -> str | None:
    """Return what specials outside of quotes and comments say: lists, groups, routes."""
    in_address = False
    for token in tokens:
        if token.kind != "special":
            continue
        if token.text == "<":
            in_address = True
        elif token.text == ":":
            return "ROUTE" if in_address else "GROUP"
        elif token.text == ",":
            # A route's list of hosts has commas too: <@one,@two:person@three>.
            return "ROUTE" if in_address else "SEVERAL_MAILBOXES"
        elif token.text == ";":
            return "SEVERAL_MAILBOXES"
        elif token.text == "[":
            return "DOMAIN_LITERAL"
        elif token.text == ">":
            in_address = False
    return None


def _problem_of_phrase(tokens: list[_Token]) -> str | None:
    """Return why the words before the angle bracket are no display name; None when they are one, or there is none."""
    for token in tokens:
        if token.is_special("."):
            return "OBSOLETE_SYNTAX"
        if token.kind == "special":
            return "MALFORMED"
        if token.kind != "white" and _hides_an_address(token.text):
            return "ENCODED"
    return None


def _hides_an_address(text: str) -> bool:
    """Return whether an encoded word (RFC 2047) decodes to what passes for an address, or to nothing readable.

    What only begins like one counts too: some readers look for its end beyond the display name.
    """
    for charset, encoding, content in _ENCODED_WORD.findall(text):
        decoded = _decoded(charset, encoding, content)
        if decoded is None or _DECEPTIVE.search(decoded):
            return True
    return "=?" in _ENCODED_WORD.sub("", text)


def decoded_words(text: str) -> str:
    """Return a text with its encoded words decoded (RFC 2047); one that cannot be decoded stays as it is."""

    def decode(found: re.Match[str]) -> str:
        decoded = _decoded(found[1], found[2], found[3])
        return found[0] if decoded is None else decoded

    # White space between two encoded words is not shown (section 6.2).
    return _ENCODED_WORD.sub(decode, _BETWEEN_WORDS.sub("?==?", text))


def _decoded(charset: str, encoding: str, content: str) -> str | None:
    if not content.isascii():
        return None
    try:
        if encoding in ("b", "B"):
            octets = b64decode(content, validate=True)
        elif encoding in ("q", "Q"):
            spaced = content.replace("_", " ").encode()
            octets = _Q_OCTET.sub(lambda found: bytes([int(found[1], 16)]), spaced)
        else:
            return None
        # RFC 2231, section 5, allows a language after the character set.
        known = _CHARSETS.get(normalize_encoding(charset.partition("*")[0]).lower())
        return None if known is None else octets.decode(known)
    except (LookupError, ValueError):
        return None


def _address(tokens: list[_Token], *, alone: bool) -> Mailbox | str:
    """Return an addr-spec: dot-atom @ host name, nothing between its parts. `alone`: without angle brackets."""
    if not tokens:
        return "NO_ADDRESS"
    kinds = {token.kind for token in tokens}
    specials = {token.text for token in tokens if token.kind == "special"}
    if specials - {"@", "."}:
        return "MALFORMED"
    if "@" not in specials:
        return "NO_ADDRESS"
    if "quoted" in kinds:
        # Before an address without brackets stands what is no display name; else the local part is quoted.
        return "MALFORMED" if alone and "white" in kinds else "LOCAL_PART"
    if kinds & {"white", "comment"}:
        return "OBSOLETE_SYNTAX"
    local_part, _, domain = "".join(token.text for token in tokens).partition("@")
    if "@" in domain:
        return "ROUTE" if not local_part else "MALFORMED"
    if "=?" in local_part or "=?" in domain:
        return "ENCODED"
    if not local_part.isascii() or not 0 < len(local_part) <= LOCAL_PART_CHARS_MAX or "" in local_part.split("."):
        return "LOCAL_PART"
    # Nothing is mapped here: a sign that only turns into a letter by normalising (the Kelvin sign) is a look-alike.
    if domain.endswith(".") or not (domain.isascii() or domain == unicodedata.normalize("NFC", domain).lower()):
        return "DOMAIN_MALFORMED"
    try:
        return Mailbox(local_part, canonical_domain(domain))
    except InvalidArgument as rejection:
        return "DOMAIN_LITERAL" if rejection.reason == "DOMAIN_IP_LITERAL" else "DOMAIN_MALFORMED"
