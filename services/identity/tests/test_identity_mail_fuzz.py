"""The From splitter against the standard library's reading: no crash, and never another domain than it reads.

What the splitter takes has to be one mailbox of that domain for both of the library's parsers; what it rejects, the
library may read as it likes. Each round has a seed, which a failure names.
"""

from __future__ import annotations

import itertools
import os
import random
import time
import warnings
from email import message_from_bytes, policy
from email.utils import getaddresses

import pytest
from apportion_common.errors import InvalidArgument
from apportion_identity.domain.domain_names import canonical_domain
from apportion_identity.domain.mail.from_header import Mailbox, split_from
from apportion_identity.domain.mail.message import Message, read_message
from apportion_identity.domain.mail.types import Rejection
from mail_maker import make_message

ROUNDS = 24
EXAMPLES = 5_000
"""Of one round: all together take some twenty seconds."""
SOAK_S = 600

WORDS = """
    ann eve a acme.com evil.com sub.acme.com ann@acme.com <ann@acme.com> <eve@evil.com> "ann@acme.com" "\\"" " \\ ( )
    (Ann) (eve@evil.com) ((a)) () < > @ , ; : . [ ] [192.0.2.1] =?utf-8?q?a?= =?utf-8?b?PGFAYi5jb20+?= ?= =? team: :;
    @x.com: xn-- ä 例え.jp müller.de аcme.com ' ` ~ ! # $ % & * + - / = ? ^ _ { | } 0 127.1 0x7f =?utf-8?q?=40?=
    =?us-ascii?q?a_b?= =?iso-8859-1?q?=E4?= =?utf-8?q?=22?= =?utf-8?q?=5C?= =?x?q?a?=
""".split()  # noqa: SIM905
QUOTED = ('"Ann Owner"', '"a, b"', '"a\\"b"')
WHITE = (" ", "  ", "\t", "\r\n ", "\r\n\t", "\r\n", "\r", "\n", "\0", "\x0b", "\x1f", "\x7f")
LOOK_ALIKES = ("\u212a", "\uff0e", "\u3002", "\u2028", "\u00a0", "\u200b", "\ufe6b", "\uff20", "\uff1c")
PIECES = (*WORDS, *QUOTED, *WHITE, *WHITE, *LOOK_ALIKES)
FORMS = (
    "ann@acme.com",
    "Ann <ann@acme.com>",
    '"Owner, Ann" <ann@acme.com>',
    "(Ann) ann@acme.com (x)",
    "Ann (x) <ann@acme.com>",
    "Ann\r\n Owner <ann@acme.com>",
    "=?utf-8?q?=C3=A4?= <ann@acme.com>",
    "<ann@müller.de>",
    "a.b+c@sub.acme.com",
    '"a\\"b" <ann@acme.com>',
)
EVIL = b"eve@evil.com\r\n"
HEADER_PIECES = (
    *(name + EVIL for name in (b"From: ", b"From : ", b" From: ", b"from: ", b"From ", b"Sender: ", b"Resent-From: ")),
    *(b"From\r\n : x\r\n", b"From:\r\n", b"From: \r\n " + EVIL, b"\xe2\x80\xa8From: " + EVIL, b"X: y\r\n", b": z\r\n"),
    *(b"\r\n", b"\n", b"\r", b" \r\n", b"\t", b"\0", b"\x85", b"\x1c", b"\x0c"),
)


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_a_from_field_is_never_read_as_another_domain_than_the_library_reads(seed: int) -> None:
    taken = sum(play(random.Random(f"{seed} {number}")) for number in range(EXAMPLES))
    # Enough of them have to be taken for the comparison to mean anything.
    assert taken > EXAMPLES // 20


@pytest.mark.soak
@pytest.mark.timeout(SOAK_S + 120)
def test_ten_minutes_of_from_fields_are_never_read_otherwise() -> None:
    start = int.from_bytes(os.urandom(4))
    ends_at = time.monotonic() + SOAK_S
    examples = taken = 0
    for seed in itertools.count(start):
        if time.monotonic() > ends_at:
            break
        for number in range(EXAMPLES):
            taken += play(random.Random(f"{seed} {number}"))
        examples += EXAMPLES
    print(f"{examples} From fields from seed {start} on, {taken} taken")
    assert taken > examples // 20


def play(chance: random.Random) -> bool:
    """One field or one header made by chance; True when a mailbox was taken, and the library read it too."""
    text = mutated(chance)
    raw = make_message(author=text.encode("utf-8", "surrogatepass"))
    if chance.random() < 0.3:
        raw = header_mutated(raw, chance)
    ours = read(raw)
    if isinstance(ours, Rejection):
        assert ours.reason
        return False
    assert set(library_domains(raw)) == {ours.domain}, (text, raw)
    return True


def mutated(chance: random.Random) -> str:
    """A From value: pieces in a row, or an ordinary one in which something was put, taken or exchanged."""
    if chance.random() < 0.3:
        return "".join(chance.choices(PIECES, k=chance.randint(1, 8)))
    text = chance.choice(FORMS)
    for _ in range(chance.randint(0, 3)):
        place = chance.randint(0, len(text))
        taken = chance.choice((0, 0, 0, 1, 1, 2, 5))
        added = chance.choice((*PIECES, "", chr(chance.randint(0, 0x17F))))
        text = text[:place] + added + text[place + taken :]
    return text


def header_mutated(raw: bytes, chance: random.Random) -> bytes:
    """The message with something put between its lines or bytes."""
    places = [0, *(place + 2 for place in range(len(raw)) if raw[place : place + 2] == b"\r\n")]
    place = chance.choice(places) if chance.random() < 0.7 else chance.randint(0, len(raw))
    return raw[:place] + chance.choice(HEADER_PIECES) + raw[place:]


def read(raw: bytes) -> Mailbox | Rejection:
    """Our reading, as the verifier does it."""
    message = read_message(raw)
    if not isinstance(message, Message):
        return message
    return split_from([field.raw_value for field in message.all(b"from")])


def library_domains(raw: bytes) -> list[str]:
    """The domains that the library's parsers find in From: both readings of each, one after the other."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        modern = message_from_bytes(raw, policy=policy.default.clone(utf8=True))
        old = message_from_bytes(raw, policy=policy.compat32)
        domains = [address.domain for field in modern.get_all("From", []) for address in field.addresses]
        values = [plain(value) for value in old.get_all("From", [])]
        domains += [address.rpartition("@")[2] for _, address in getaddresses(values)]
        # The old parser leaves folds in the value; read without them it has to say the same.
        domains += [address.rpartition("@")[2] for _, address in getaddresses([" ".join(v.split()) for v in values])]
    return [one_spelling(domain) for domain in domains] or ["(none)"]


def plain(value: object) -> str:
    """A field of the old parser as text: bytes beyond ASCII come as a Header of an unknown character set."""
    chunks = getattr(value, "_chunks", None)
    text = str(value) if chunks is None else "".join(chunk for chunk, _ in chunks)
    return text.encode("ascii", "surrogateescape").decode("utf-8", "replace") if not _is_text(text) else text


def _is_text(text: str) -> bool:
    return not any("\udc80" <= character <= "\udcff" for character in text)


def one_spelling(domain: str) -> str:
    """The domain as we spell it; anything that is none stays as it is."""
    try:
        octets = domain.encode("utf-8", "surrogateescape")
        return canonical_domain(octets.decode("utf-8", "replace"))
    except InvalidArgument:
        return f"(no domain: {domain!r})"
