"""Domain names as claims know them: one spelling for each name, and which names can be claimed at all (spec 01 rule 1).

A name has one spelling here: IDNA 2008 A-labels (RFC 5891) in lower case without a final dot. Two names are the same
when their spellings are equal, so a look-alike in another script is another name.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Collection, Iterator
from typing import Final, Protocol

import idna
from apportion_common.errors import FailedPrecondition, InvalidArgument

from apportion_identity.limits import DOMAIN_CHARS_MAX, DOMAIN_TEXT_CHARS_MAX, LABEL_CHARS_MAX

_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")

SPECIAL_USE: Final = frozenset(
    {
        # RFC 6761, RFC 6762, RFC 7686, RFC 9476
        "test",
        "localhost",
        "invalid",
        "example",
        "example.com",
        "example.net",
        "example.org",
        "local",
        "onion",
        "alt",
        # Everything below arpa belongs to the infrastructure: reverse zones, home.arpa (RFC 8375), resolver.arpa (RFC
        # 9462), ipv4only.arpa (RFC 8880), service.arpa (RFC 9665), eap-noob.arpa (RFC 9140), 6tisch.arpa (RFC 9031).
        "arpa",
        # Never delegated: kept for private use (ICANN, 2024), and the names of RFC 6762 appendix G.
        "internal",
        "intranet",
        "private",
        "corp",
        "home",
        "lan",
        "localdomain",
    }
)
"""Names that, with all below them, belong to nobody: IANA's special-use registry, and what is used in private."""

SHARED_MAIL_PROVIDERS: Final = frozenset(
    """
    126.com 139.com 163.com 189.cn 21cn.com aliyun.com aim.com alice.it aol.com arcor.de att.net bellsouth.net
    bigpond.com bigpond.net.au bluewin.ch bol.com.br btinternet.com charter.net comcast.net cox.net daum.net
    disroot.org docomo.ne.jp duck.com earthlink.net email.com email.cz ezweb.ne.jp fastmail.com fastmail.fm foxmail.com
    free.fr freenet.de gmail.com gmx.at gmx.ch gmx.com gmx.de gmx.fr gmx.net googlemail.com hanmail.net hey.com
    hotmail.ca hotmail.co.uk hotmail.com hotmail.com.au hotmail.com.br hotmail.de hotmail.es hotmail.fr hotmail.it
    hushmail.com icloud.com ig.com.br iinet.net.au inbox.ru inbox.lv internode.on.net interia.pl kakao.com laposte.net
    libero.it list.ru live.ca live.co.uk live.com live.com.au live.de live.fr live.it live.nl mac.com mail.com mail.ee
    mail.ru mailbox.org mailinator.com mailfence.com me.com msn.com naver.com netzero.net o2.pl onet.pl onmicrosoft.com
    op.pl optonline.net optusnet.com.au orange.fr outlook.co.nz outlook.com outlook.com.au outlook.de outlook.es
    outlook.fr outlook.it outlook.jp ozemail.com.au passport.com pm.me posteo.de poste.it prodigy.net proton.me
    protonmail.ch protonmail.com qq.com rambler.ru rediffmail.com riseup.net rocketmail.com rogers.com runbox.com
    sapo.pt sbcglobal.net seznam.cz sfr.fr shaw.ca sina.cn sina.com sky.com skynet.be softbank.ne.jp sohu.com
    spamgourmet.com swbell.net sympatico.ca t-online.de talktalk.net telenet.be telstra.com telus.net terra.com.br
    tiscali.it tpg.com.au tuta.com tuta.io tutamail.com tutanota.com tutanota.de ukr.net uol.com.br verizon.net
    videotron.ca virgilio.it virginmedia.com wanadoo.fr web.de westnet.com.au windowslive.com wp.pl xtra.co.nz ya.ru
    yahoo.ca yahoo.co.id yahoo.co.in yahoo.co.jp yahoo.co.nz yahoo.co.uk yahoo.com yahoo.com.ar yahoo.com.au
    yahoo.com.br yahoo.com.hk yahoo.com.mx yahoo.com.ph yahoo.com.sg yahoo.com.tw yahoo.com.vn yahoo.de yahoo.es
    yahoo.fr yahoo.gr yahoo.ie yahoo.in yahoo.it yahoo.pl yahoo.se yandex.com yandex.ru yandex.ua yeah.net ymail.com
    yopmail.com zoho.com zohomail.com zohomail.eu
    """.split()  # noqa: SIM905
)
"""Providers whose mail domains belong to all of their customers alike. The setting shared_mail_domains extends it."""


class PublicSuffixes(Protocol):
    """The public suffix list. Names are A-labels, as `normalise_domain` gives them."""

    def is_public_suffix(self, domain: str) -> bool:
        """Whether names right below are registered by different parties (`com`, `co.uk`, also `github.io`)."""
        ...

    def registrable(self, domain: str) -> str | None:
        """The part of a name that its owner registered: one label more than the suffix. None of a suffix itself."""
        ...


def canonical_domain(text: str) -> str:
    """The one spelling of a name, special-use or not: NFC, lower case, A-labels, no final dot.

    IDNA 2008 without mappings (RFC 5891 section 5.3): `faß.de` is not `fass.de`, and full-width letters or other full
    stops are refused rather than guessed at. InvalidArgument DOMAIN_IP_LITERAL for what names a host by its number,
    also in the short and hexadecimal forms that some software reads as one; DOMAIN_MALFORMED for what is no host name.
    """
    if not text or len(text) > DOMAIN_TEXT_CHARS_MAX:
        raise domain_malformed()
    name = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).lower())
    if _is_ip_literal(name):
        raise domain_ip_literal()
    name = name.removesuffix(".")
    try:
        labels = [_a_label(label) for label in name.split(".")]
    except (idna.IDNAError, UnicodeError, IndexError, ValueError):
        raise domain_malformed() from None
    domain = ".".join(labels)
    if len(domain) > DOMAIN_CHARS_MAX:
        raise domain_malformed()
    return domain


def normalise_domain(text: str) -> str:
    """The one spelling of a name that somebody can own.

    InvalidArgument DOMAIN_MALFORMED, DOMAIN_IP_LITERAL, DOMAIN_SPECIAL_USE (RFC 6761). Whether it is a public suffix
    or a mail provider says `claimable`.
    """
    domain = canonical_domain(text)
    if is_special_use(domain):
        raise domain_special_use()
    return domain


def claimable(domain: str, suffixes: PublicSuffixes, shared_mail: Collection[str] = ()) -> str:
    """The registrable domain that a normalised name is or lies under.

    InvalidArgument DOMAIN_PUBLIC_SUFFIX; FailedPrecondition DOMAIN_SHARED_MAIL for a mail provider's name or one below
    it (some give each customer a name of their own), built in or in `shared_mail`.
    """
    registrable = None if suffixes.is_public_suffix(domain) else suffixes.registrable(domain)
    if registrable is None:
        raise InvalidArgument(
            "DOMAIN_PUBLIC_SUFFIX",
            "Names right below this one belong to different owners; claim the domain that is yours below it.",
            field="domain",
        )
    extended = {entry.strip().lower().removesuffix(".") for entry in shared_mail}
    if any(name in SHARED_MAIL_PROVIDERS or name in extended for name in self_and_parents(domain)):
        raise FailedPrecondition(
            "DOMAIN_SHARED_MAIL",
            "This domain belongs to a mail provider that many share; claim a domain of your own.",
            field="domain",
        )
    return registrable


def is_special_use(domain: str) -> bool:
    """Whether a normalised name is one of the special-use names or below one."""
    return any(name in SPECIAL_USE for name in self_and_parents(domain))


def self_and_parents(domain: str) -> Iterator[str]:
    """The name and every name above it, up to its top-level domain."""
    while domain:
        yield domain
        _, _, domain = domain.partition(".")


def _a_label(label: str) -> str:
    """One label as A-label. Raises ValueError (IDNAError is one) for what no host name has."""
    if label.isascii() and not label.startswith("xn--"):
        encoded = label
        # Hyphens in the third and fourth place are kept for encodings such as xn-- (RFC 5891, section 4.2.3.1).
        if label[2:4] == "--":
            raise ValueError("hyphens in the third and fourth place")
    else:
        # An A-label is decoded and encoded again: it must come out as it went in.
        encoded = idna.alabel(label).decode("ascii")
        if label.isascii() and encoded != label:
            raise ValueError("no A-label")
    if len(encoded) > LABEL_CHARS_MAX or not _LABEL.fullmatch(encoded):
        raise ValueError("no host name label")
    return encoded


def _is_ip_literal(name: str) -> bool:
    if name.startswith("["):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        # Software that reads addresses by inet_aton takes 127.1 and 0x7f.1 for addresses; no top-level domain is a
        # number (RFC 3696, section 2).
        return _NUMBER.fullmatch(name.removesuffix(".").rpartition(".")[2]) is not None
    return True


def domain_malformed() -> InvalidArgument:
    """The text is no domain name."""
    return InvalidArgument(
        "DOMAIN_MALFORMED", "This is not a domain name, such as acme.com; check its spelling.", field="domain"
    )


def domain_ip_literal() -> InvalidArgument:
    """The text is an address."""
    return InvalidArgument(
        "DOMAIN_IP_LITERAL", "This is an address of the Internet Protocol; give a domain name.", field="domain"
    )


def domain_special_use() -> InvalidArgument:
    """The name is kept for a special use and belongs to nobody."""
    return InvalidArgument(
        "DOMAIN_SPECIAL_USE", "This name is kept for a special use (RFC 6761) and belongs to nobody.", field="domain"
    )
