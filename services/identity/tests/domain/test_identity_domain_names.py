"""Domain names: one spelling for each, and which of them can be claimed."""

from __future__ import annotations

import pytest
from apportion_common.errors import ApportionError, FailedPrecondition, InvalidArgument
from apportion_identity.adapters.suffixes import PackagedSuffixes
from apportion_identity.domain.domain_names import (
    SHARED_MAIL_PROVIDERS,
    SPECIAL_USE,
    canonical_domain,
    claimable,
    normalise_domain,
)
from hypothesis import event, given
from hypothesis import strategies as st

SUFFIXES = PackagedSuffixes()

SPELLINGS = {
    "ACME.com.au": "acme.com.au",
    "acme.com.au.": "acme.com.au",
    "Bücher.de": "xn--bcher-kva.de",
    "bu\u0308cher.de": "xn--bcher-kva.de",
    "XN--BCHER-KVA.DE": "xn--bcher-kva.de",
    "faß.de": "xn--fa-hia.de",
    "FAẞ.de": "xn--fa-hia.de",
    "食狮.公司.cn": "xn--85x722f.xn--55qx5d.cn",
    "1and1.de": "1and1.de",
}
MALFORMED = (
    "",
    ".",
    "a..com",
    ".acme.com",
    "acme.com..",
    "-acme.com",
    "acme-.com",
    "ac--me.com",
    "ac_me.com",
    "acme .com",
    " acme.com",
    "acme.com\n",
    "acme\x00.com",
    "a@acme.com",
    "acme.com/path",
    "xn--a.com",
    "xn--.com",
    "xn--zzzzzzzzz.com",
    "ａcme.com",
    "acme。com",
    "a\u200dcme.com",
    "x" * 64 + ".com",
    ".".join(["x" * 60] * 5) + ".com",
    "x" * 1001,
)
IP_LITERALS = ("192.0.2.1", "192.0.2.1.", "[192.0.2.1]", "[IPv6:2001:db8::1]", "2001:db8::1", "127.1", "0x7f.1")


@pytest.mark.parametrize("text", SPELLINGS)
def test_every_spelling_of_a_name_comes_to_one(text: str) -> None:
    assert normalise_domain(text) == SPELLINGS[text]


@pytest.mark.parametrize("text", MALFORMED, ids=repr)
def test_what_is_no_host_name_is_malformed(text: str) -> None:
    with pytest.raises(InvalidArgument) as rejected:
        normalise_domain(text)
    assert rejected.value.reason == "DOMAIN_MALFORMED"


@pytest.mark.parametrize("text", IP_LITERALS)
def test_an_address_in_any_form_is_an_ip_literal(text: str) -> None:
    with pytest.raises(InvalidArgument) as rejected:
        normalise_domain(text)
    assert rejected.value.reason == "DOMAIN_IP_LITERAL"


@pytest.mark.parametrize("name", sorted(SPECIAL_USE))
def test_a_special_use_name_and_what_is_below_it_belongs_to_nobody(name: str) -> None:
    for text in (name, f"Deep.Below.{name}."):
        with pytest.raises(InvalidArgument) as rejected:
            normalise_domain(text)
        assert rejected.value.reason == "DOMAIN_SPECIAL_USE"


def test_a_name_that_only_ends_like_a_special_use_name_is_an_ordinary_one() -> None:
    assert normalise_domain("notexample.com") == "notexample.com"
    assert normalise_domain("mytest.com.au") == "mytest.com.au"


@pytest.mark.parametrize("look_alike", ["аcme.com", "acmе.com", "раypal.com", "goоgle.com"])
def test_a_look_alike_in_another_script_is_another_name(look_alike: str) -> None:
    domain = normalise_domain(look_alike)
    assert domain.startswith("xn--")
    assert domain not in {"acme.com", "paypal.com", "google.com"}


@pytest.mark.parametrize("suffix", ["com", "com.au", "co.uk", "github.io", "xn--55qx5d.cn", "kawasaki.jp", "unheardof"])
def test_a_public_suffix_cannot_be_claimed(suffix: str) -> None:
    with pytest.raises(InvalidArgument) as rejected:
        claimable(normalise_domain(suffix), SUFFIXES)
    assert rejected.value.reason == "DOMAIN_PUBLIC_SUFFIX"


def test_a_name_at_or_below_a_registrable_domain_can_be_claimed() -> None:
    assert claimable("acme.com.au", SUFFIXES) == "acme.com.au"
    assert claimable("mail.eu.acme.com.au", SUFFIXES) == "acme.com.au"
    assert claimable("acme.github.io", SUFFIXES) == "acme.github.io"


@pytest.mark.parametrize(
    "domain",
    [
        *(
            "gmail.com",
            "customer.fastmail.com",
            "tenant.onmicrosoft.com",
            "yahoo.co.uk",
            "outlook.be",
            "iprimus.com.au",
        ),
        # In groups and by forwarding services strangers write from these, too.
        *("googlegroups.com", "groups.io", "mozmail.com", "privaterelay.appleid.com"),
    ],
)
def test_a_mail_provider_and_what_is_below_it_cannot_be_claimed(domain: str) -> None:
    with pytest.raises(FailedPrecondition) as rejected:
        claimable(domain, SUFFIXES)
    assert rejected.value.reason == "DOMAIN_SHARED_MAIL"


def test_the_setting_extends_the_list_of_mail_providers() -> None:
    assert claimable("townmail.com.au", SUFFIXES) == "townmail.com.au"
    with pytest.raises(FailedPrecondition) as rejected:
        claimable("team.townmail.com.au", SUFFIXES, shared_mail=[" TownMail.com.au. "])
    assert rejected.value.reason == "DOMAIN_SHARED_MAIL"
    assert claimable("oldtownmail.com.au", SUFFIXES, shared_mail=["townmail.com.au"]) == "oldtownmail.com.au"


def test_every_listed_mail_provider_is_spelt_as_claims_are() -> None:
    for name in SHARED_MAIL_PROVIDERS:
        assert normalise_domain(name) == name
        assert not SUFFIXES.is_public_suffix(name)


@given(st.text(max_size=40))
def test_any_text_is_either_a_name_that_stays_as_it_is_or_rejected_with_a_reason(text: str) -> None:
    try:
        domain = canonical_domain(text)
    except ApportionError as rejected:
        reason = rejected.reason
    else:
        reason = ""
    event(reason)
    if reason:
        assert reason in {"DOMAIN_MALFORMED", "DOMAIN_IP_LITERAL"}
        return
    assert domain.isascii()
    assert canonical_domain(domain) == domain
    assert canonical_domain(domain.upper() + ".") == domain
