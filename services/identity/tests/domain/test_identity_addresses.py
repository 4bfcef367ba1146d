"""Addresses in the one form in which they are compared."""

from __future__ import annotations

import unicodedata

import pytest
from apportion_common.errors import InvalidArgument
from apportion_identity.domain.addresses import domain_of, normalise_address, same_address
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("Ada@Acme.Example", "ada@acme.example"),
        (" ada@acme.example. ", "ada@acme.example"),
        ("A.D.A+Tag@ACME.example", "a.d.a+tag@acme.example"),
        ("O'Brien@acme.example", "o'brien@acme.example"),
        ("ada@BÜCHER.example", "ada@xn--bcher-kva.example"),
        ("ada@xn--bcher-kva.example", "ada@xn--bcher-kva.example"),
        ("Jose\u0301@acme.example", "jos\u00e9@acme.example"),
        ("JOS\u00c9@acme.example", "jos\u00e9@acme.example"),
        ("ΑΣ@acme.example", "ασ@acme.example"),
    ],
)
def test_an_address_has_one_form(text: str, address: str) -> None:
    assert normalise_address(text) == address
    assert normalise_address(address) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ada",
        "@acme.example",
        "ada@",
        "ada@acme",
        "ada@acme..example",
        ".ada@acme.example",
        "ada.@acme.example",
        "a..da@acme.example",
        "a da@acme.example",
        "a\tda@acme.example",
        "ada\n@acme.example",
        "ada@acme.example\n",
        "ada\0@acme.example",
        "ada@acme.example, eve@evil.example",
        "<ada@acme.example>",
        "Ada <ada@acme.example>",
        '"ada"@acme.example',
        "ada@eve@acme.example",
        "ada@[127.0.0.1]",
        "ada@127.0.0.1",
        "ad\u200ba@acme.example",
        "\u202eada@acme.example",
        f"{'a' * 65}@acme.example",
        f"{'é' * 33}@acme.example",
        f"ada@{'a.' * 130}example",
        "a" * 400,
        # The Kelvin sign is no K, and the Turkish dotted I is no i: these would become other people's addresses.
        "\u212aim@acme.example",
        "\u0130da@acme.example",
        "I\u0307da@acme.example",
    ],
)
def test_what_is_no_address_is_rejected(text: str) -> None:
    with pytest.raises(InvalidArgument) as rejected:
        normalise_address(text)
    assert (rejected.value.reason, rejected.value.field) == ("EMAIL_MALFORMED", "email")


@given(st.text(max_size=40), st.sampled_from(["acme.example", "BÜCHER.example", "ﬀ.example", "a_b.example"]))
def test_the_form_of_a_form_is_itself_and_its_domain_is_ascii(local: str, domain: str) -> None:
    try:
        address = normalise_address(f"{local}@{domain}")
    except InvalidArgument:
        return
    assert normalise_address(address) == address == unicodedata.normalize("NFC", address)
    assert domain_of(address).isascii()
    if address.isascii():
        # Nobody comes to an ASCII address but by its own letters.
        assert local.strip(" ").isascii()


@given(st.from_regex(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,20}", fullmatch=True))
def test_letter_case_makes_no_other_address(local: str) -> None:
    spellings = {normalise_address(f"{one}@acme.example") for one in (local, local.upper(), local.swapcase())}
    assert spellings == {f"{local.lower()}@acme.example"}


def test_stored_addresses_from_before_the_rules_are_compared_as_they_stand() -> None:
    assert same_address("Ada@Acme.example", "ada@acme.example")
    assert same_address("old address@x", "old address@x")
    assert not same_address("old address@x", "OLD address@x")
    assert not same_address("ada@acme.example", "ida@acme.example")
