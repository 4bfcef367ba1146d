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
    10minutemail.com 126.com 139.com 163.com 189.cn 21cn.com 263.net aapt.net.au abv.bg actrix.co.nz adam.com.au
    addy.io aim.com aleeas.com alice.it aliceadsl.fr aliyun.com ameritech.net anonaddy.com anonaddy.me aol.co.uk
    aol.com aol.de aol.fr aol.it aol.jp aon.at arcor.de atlas.cz att.net au.com azet.sk bbox.fr bell.net bellsouth.net
    biglobe.ne.jp bigmir.net bigpond.com bigpond.net.au bk.ru blu.it bluewin.ch blueyonder.co.uk bol.com.br
    bredband.net btinternet.com btopenworld.com casema.nl cegetel.net centrum.cz centrum.sk centurylink.net
    centurytel.net charter.net chello.at chello.nl citromail.hu clear.net.nz club-internet.fr cock.li cogeco.ca
    comcast.net comhem.se compuserve.com consultant.com countermail.com cox.net cs.com ctemplar.com daum.net
    disroot.org docomo.ne.jp dodo.com.au dr.com duck.com earthlink.net eastlink.ca email.com email.cz email.de
    email.it embarqmail.com engineer.com europe.com excite.com exemail.com.au ezweb.ne.jp fastmail.com fastmail.fm
    fastwebnet.it flash.net foxmail.com free.fr freelists.org freemail.hu freenet.de frontier.com frontiernet.net
    gazeta.pl getnada.com globo.com gmail.com gmx.at gmx.biz gmx.ch gmx.com gmx.de gmx.eu gmx.fr gmx.info gmx.li
    gmx.net gmx.us googlegroups.com googlemail.com groups.google.com groups.io grr.la guerrillamail.com hanmail.com
    hanmail.net hetnet.nl hey.com hispeed.ch home.nl hotmail.at hotmail.be hotmail.ca hotmail.ch hotmail.cl
    hotmail.co.id hotmail.co.il hotmail.co.jp hotmail.co.kr hotmail.co.nz hotmail.co.th hotmail.co.uk hotmail.co.za
    hotmail.com hotmail.com.ar hotmail.com.au hotmail.com.br hotmail.com.hk hotmail.com.tr hotmail.com.tw
    hotmail.com.vn hotmail.cz hotmail.de hotmail.dk hotmail.es hotmail.fi hotmail.fr hotmail.gr hotmail.hu hotmail.it
    hotmail.my hotmail.nl hotmail.no hotmail.ph hotmail.rs hotmail.se hotmail.sg hotmail.sk hushmail.com i.softbank.jp
    i.ua icloud.com ig.com.br ihug.co.nz iinet.net.au iname.com inbox.com inbox.lv inbox.ru indiatimes.com interia.eu
    interia.pl internet.ru internode.on.net inwind.it iol.it iprimus.com.au juno.com kakao.com keemail.me kolabnow.com
    kpnmail.nl kpnplanet.nl laposte.net libero.it list.ru live.at live.be live.ca live.ch live.cl live.cn live.co.kr
    live.co.uk live.co.za live.com live.com.ar live.com.au live.com.mx live.com.my live.com.ph live.com.pt live.com.sg
    live.cz live.de live.dk live.fi live.fr live.hk live.ie live.in live.it live.jp live.nl live.no live.ru live.se
    lycos.com mac.com mail.bg mail.com mail.de mail.ee mail.ru mail.ua mailbox.co.za mailbox.org maildrop.cc
    mailfence.com mailinator.com me.com meta.ua mindspring.com movistar.es mozmail.com msn.com mts.net mweb.co.za
    myself.com narod.ru nate.com naver.co.kr naver.com netscape.net netspace.net.au netvision.net.il netzero.com
    netzero.net neuf.fr nifty.com ntlworld.com numericable.fr o2.pl oi.com.br onet.eu onet.pl online.de online.no
    onmicrosoft.com ono.com op.pl optonline.net optusnet.com.au orange.es orange.fr orcon.net.nz outlook.at outlook.be
    outlook.cl outlook.co.id outlook.co.il outlook.co.nz outlook.co.th outlook.com outlook.com.ar outlook.com.au
    outlook.com.br outlook.com.gr outlook.com.tr outlook.com.vn outlook.cz outlook.de outlook.dk outlook.es outlook.fr
    outlook.hu outlook.ie outlook.in outlook.it outlook.jp outlook.kr outlook.lv outlook.my outlook.ph outlook.pt
    outlook.sa outlook.sg outlook.sk ozemail.com.au pacbell.net paradise.net.nz passfwd.com passinbox.com passmail.net
    passport.com peoplepc.com planet.nl plus.com pm.me post.com post.cz poste.it posteo.de privaterelay.appleid.com
    prodigy.net proton.me protonmail.ch protonmail.com q.com qq.com r7.com rambler.ru rediffmail.com riseup.net
    roadrunner.com rocketmail.com rogers.com rr.com runbox.com sapo.pt sasktel.net sbcglobal.net seznam.cz sfr.fr
    sharklasers.com shaw.ca sify.com silomails.com simplelogin.co simplelogin.com simplelogin.fr sina.cn sina.com
    sky.com skynet.be slingshot.co.nz slmail.me slmails.com snet.net softbank.ne.jp sogou.com sohu.com spamgourmet.com
    spin.net.au spray.se startmail.com suddenlink.net sunrise.ch swbell.net sympatico.ca t-online.de talk21.com
    talktalk.net tele2.se telefonica.net telenet.be telia.com telkomsa.net telstra.com telus.net telusplanet.net
    temp-mail.org terra.com terra.com.br terra.es tin.it tiscali.co.uk tiscali.it tiscalinet.it tlen.pl tom.com
    tpg.com.au trashmail.com tuta.com tuta.io tutamail.com tutanota.com tutanota.de twc.com ukr.net uol.com.br
    upcmail.nl usa.com verizon.net videotron.ca virgilio.it virgin.net virginmedia.com vodafone.co.nz volny.cz vp.pl
    walla.co.il walla.com wanadoo.fr web.de webmail.co.za westnet.com.au windowslive.com windstream.net wo.cn
    wowway.com wp.pl writeme.com xs4all.nl xtra.co.nz ya.ru yahoo.at yahoo.be yahoo.bg yahoo.ca yahoo.cl yahoo.cn
    yahoo.co.id yahoo.co.in yahoo.co.jp yahoo.co.kr yahoo.co.nz yahoo.co.th yahoo.co.uk yahoo.co.za yahoo.com
    yahoo.com.ar yahoo.com.au yahoo.com.br yahoo.com.cn yahoo.com.co yahoo.com.hk yahoo.com.mx yahoo.com.my
    yahoo.com.pe yahoo.com.ph yahoo.com.sg yahoo.com.tr yahoo.com.tw yahoo.com.ve yahoo.com.vn yahoo.cz yahoo.de
    yahoo.dk yahoo.es yahoo.fi yahoo.fr yahoo.gr yahoo.hu yahoo.ie yahoo.in yahoo.it yahoo.nl yahoo.no yahoo.pl
    yahoo.pt yahoo.ro yahoo.se yahoogroups.com yandex.by yandex.com yandex.com.tr yandex.kz yandex.ru yandex.ua
    yeah.net ymail.com yopmail.com ziggo.nl zipmail.com.br zoho.com zohomail.com zohomail.eu zonnet.nl zoznam.sk
    """.split()  # noqa: SIM905
)
"""Domains in which strangers have addresses: mail providers, forwarders and groups. shared_mail_domains extends it."""


class PublicSuffixes(Protocol):
    """The public suffix list. Names are A-labels, as `normalise_domain` returns them."""

    def is_public_suffix(self, domain: str) -> bool:
        """Return whether names right below are registered by different parties (`com`, `co.uk`, also `github.io`)."""
        ...

    def registrable(self, domain: str) -> str | None:
        """Return the part of a name that its owner registered: one label more than the suffix; None of a suffix."""
        ...


def canonical_domain(text: str) -> str:
    """Return the one spelling of a name, special-use or not: NFC, lower case, A-labels, no final dot.

    IDNA 2008 without mappings (RFC 5891 section 5.3): `faß.de` is not `fass.de`, and full-width letters or other full
    stops are rejected rather than guessed at. InvalidArgument DOMAIN_IP_LITERAL for what names a host by its number,
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
    """Return the one spelling of a name that somebody can own.

    InvalidArgument DOMAIN_MALFORMED, DOMAIN_IP_LITERAL, DOMAIN_SPECIAL_USE (RFC 6761). Whether it is a public suffix
    or a mail provider is for `claimable` to say.
    """
    domain = canonical_domain(text)
    if is_special_use(domain):
        raise domain_special_use()
    return domain


def claimable(domain: str, suffixes: PublicSuffixes, shared_mail: Collection[str] = ()) -> str:
    """Return the registrable domain that a normalised name is or lies under.

    InvalidArgument DOMAIN_PUBLIC_SUFFIX; FailedPrecondition DOMAIN_SHARED_MAIL for a mail provider's name or one below
    it (some have a name for each customer), built in or in `shared_mail`.
    """
    registrable = None if suffixes.is_public_suffix(domain) else suffixes.registrable(domain)
    if registrable is None:
        raise InvalidArgument(
            "DOMAIN_PUBLIC_SUFFIX",
            "Names right below this one belong to different owners; claim the domain that is yours below it.",
            field="domain",
        )
    if is_shared_mail(domain, shared_mail):
        raise FailedPrecondition(
            "DOMAIN_SHARED_MAIL",
            "This domain belongs to a mail provider that many share; claim a domain of your own.",
            field="domain",
        )
    return registrable


def is_shared_mail(domain: str, shared_mail: Collection[str] = ()) -> bool:
    """Return whether a normalised name is a mail provider's or below one, built in or in `shared_mail`."""
    extended = {entry.strip().lower().removesuffix(".") for entry in shared_mail}
    return any(name in SHARED_MAIL_PROVIDERS or name in extended for name in self_and_parents(domain))


def is_special_use(domain: str) -> bool:
    """Return whether a normalised name is one of the special-use names or below one."""
    return any(name in SPECIAL_USE for name in self_and_parents(domain))


def self_and_parents(domain: str) -> Iterator[str]:
    """Yield the name and every name above it, up to its top-level domain."""
    while domain:
        yield domain
        _, _, domain = domain.partition(".")


def _a_label(label: str) -> str:
    """Return one label as A-label. Raises ValueError (IDNAError is one) for what no host name has."""
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
    """Return the rejection: the text is no domain name."""
    return InvalidArgument(
        "DOMAIN_MALFORMED", "This is not a domain name, such as acme.com; check its spelling.", field="domain"
    )


def domain_ip_literal() -> InvalidArgument:
    """Return the rejection: the text is an address."""
    return InvalidArgument(
        "DOMAIN_IP_LITERAL", "This is an address of the Internet Protocol; give a domain name.", field="domain"
    )


def domain_special_use() -> InvalidArgument:
    """Return the rejection: the name is kept for a special use and belongs to nobody."""
    return InvalidArgument(
        "DOMAIN_SPECIAL_USE", "This name is kept for a special use (RFC 6761) and belongs to nobody.", field="domain"
    )
