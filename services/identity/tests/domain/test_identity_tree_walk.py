"""The tree walk of RFC 9989, policies and alignment, beyond what the published cases show."""

from __future__ import annotations

from itertools import pairwise

import pytest
from apportion_identity.domain.mail.tree_walk import parse_record, policy_for, walk, walk_targets
from apportion_identity.domain.mail.types import DnsAnswer, DnsQuestion, DnsTrouble, NeedsAnswers
from apportion_identity.limits import TREE_WALK_QUERIES_MAX
from dmarc_alignment import dmarc_verdict, strictly_aligned
from hypothesis import given
from hypothesis import strategies as st

LABELS = st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=20)


def answers_for(domain: str, records: dict[str, list[bytes]]) -> dict[DnsQuestion, DnsAnswer]:
    """Answers to a walk from a domain: the records given, NXDOMAIN elsewhere."""
    return {
        DnsQuestion(f"_dmarc.{target}", "TXT"): DnsAnswer("found", tuple(records[target]))
        if target in records
        else DnsAnswer("nxdomain")
        for target in walk_targets(domain)
    }


@given(LABELS)
def test_a_walk_asks_eight_names_at_most_each_a_parent_of_the_one_before(labels: list[str]) -> None:
    domain = ".".join(labels)
    targets = walk_targets(domain)
    assert targets[0] == domain
    assert len(targets) == min(len(labels), TREE_WALK_QUERIES_MAX)
    assert targets[-1] == labels[-1]
    assert all(above.endswith(f".{below}") for above, below in pairwise(targets))


@given(LABELS, st.data())
def test_the_organizational_domain_is_the_domain_or_above_it(labels: list[str], data: st.DataObject) -> None:
    domain = ".".join(labels)
    tags = st.sampled_from([b"", b"; psd=y", b"; psd=n", b"; psd=u", b"; psd=?"])
    records = {
        target: [b"v=DMARC1; p=none" + data.draw(tags)] for target in walk_targets(domain) if data.draw(st.booleans())
    }
    found = walk(domain, answers_for(domain, records))
    assert domain == found.organizational_domain or domain.endswith(f".{found.organizational_domain}")
    stopping = [target for target in walk_targets(domain) if target in records and b"psd=y" in records[target][0]]
    assert all(found.organizational_domain != target for target in stopping if target != domain)


def test_all_names_are_asked_at_once() -> None:
    with pytest.raises(NeedsAnswers) as needs:
        walk("a.acme.com.au", {})
    names = {"_dmarc.a.acme.com.au", "_dmarc.acme.com.au", "_dmarc.com.au", "_dmarc.au"}
    assert needs.value.questions == {DnsQuestion(name, "TXT") for name in names}


def test_a_failing_dns_decides_nothing_unless_the_walk_ended_before() -> None:
    answers = answers_for("acme.com.au", {"acme.com.au": [b"v=DMARC1; p=reject"]})
    answers[DnsQuestion("_dmarc.au", "TXT")] = DnsAnswer("servfail")
    with pytest.raises(DnsTrouble) as trouble:
        walk("acme.com.au", answers)
    assert trouble.value.question == DnsQuestion("_dmarc.au", "TXT")
    answers[DnsQuestion("_dmarc.acme.com.au", "TXT")] = DnsAnswer("found", (b"v=DMARC1; p=reject; psd=n",))
    assert walk("acme.com.au", answers).organizational_domain == "acme.com.au"


def test_the_names_own_word_that_it_is_a_suffix_is_seen() -> None:
    assert walk("bank.com", answers_for("bank.com", {"bank.com": [b"v=DMARC1; psd=y"]})).says_public_suffix
    assert not walk("bank.com", answers_for("bank.com", {"com": [b"v=DMARC1; psd=y"]})).says_public_suffix
    assert not walk("bank.com", answers_for("bank.com", {"bank.com": [b"v=DMARC1; psd=n"]})).says_public_suffix


def test_two_records_of_one_name_are_both_discarded() -> None:
    records = {"acme.com": [b"v=DMARC1; p=reject", b"v=DMARC1; p=none; psd=y"]}
    found = walk("acme.com", answers_for("acme.com", records))
    assert found.records == ()
    assert not found.says_public_suffix


@pytest.mark.parametrize(
    "text",
    [
        b"v=DMARC1",
        b"v = DMARC1 ;p=reject",
        b"v=DMARC1; p=REJECT; ; x; =; pct=101",
        b" v=DMARC1;p=none ",
        b"v=DMARC1;\xff",
    ],
)
def test_what_begins_with_the_version_is_a_record_whatever_follows(text: bytes) -> None:
    assert parse_record("acme.com", text) is not None


@pytest.mark.parametrize(
    "text", [b"", b"v=dmarc1; p=none", b"v=DMARC2", b"v=DMARC1x", b"p=none; v=DMARC1", b"V=DMARC1"]
)
def test_what_does_not_begin_with_the_version_is_no_record(text: bytes) -> None:
    assert parse_record("acme.com", text) is None


def test_the_first_of_two_tags_of_one_name_counts() -> None:
    record = parse_record("acme.com", b"v=DMARC1; p=reject; p=none; psd=n; psd=y")
    assert record is not None
    assert (record.policy, record.psd) == ("reject", "n")


def test_np_applies_to_a_name_that_does_not_exist_and_asks_only_where_it_differs() -> None:
    answers = answers_for("x.acme.com", {"acme.com": [b"v=DMARC1; p=none; sp=quarantine; np=reject"]})
    found = walk("x.acme.com", answers)
    with pytest.raises(NeedsAnswers):
        policy_for(found, answers)
    answers |= {DnsQuestion("x.acme.com", rdtype): DnsAnswer("nxdomain") for rdtype in ("A", "AAAA", "MX")}
    assert policy_for(found, answers) == "reject"
    answers[DnsQuestion("x.acme.com", "MX")] = DnsAnswer("found", ((10, "mx.acme.com"),))
    assert policy_for(found, answers) == "quarantine"
    answers[DnsQuestion("x.acme.com", "MX")] = DnsAnswer("timeout")
    with pytest.raises(DnsTrouble):
        policy_for(found, answers)
    same = answers_for("x.acme.com", {"acme.com": [b"v=DMARC1; p=reject"]})
    assert policy_for(walk("x.acme.com", same), same) == "reject"


def test_strict_alignment_is_equality_and_nothing_is_aligned_with_no_name() -> None:
    assert strictly_aligned("acme.com", "acme.com")
    assert not strictly_aligned("acme.com", "mail.acme.com")
    assert not strictly_aligned("mail.acme.com", "acme.com")
    assert not strictly_aligned("", "")


def test_without_a_policy_record_dmarc_says_none() -> None:
    answers = answers_for("acme.com", {})
    assert dmarc_verdict("acme.com", ["acme.com"], [], answers).result == "none"
