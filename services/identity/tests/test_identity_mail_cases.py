"""Every published mail case through the verifier's parts; docs/mail-cases.md tells the numbers and explains them."""

from __future__ import annotations

from collections.abc import Callable

import mail_cases
import pytest
from apportion_identity.domain.mail.from_header import Mailbox
from mail_cases import NUMBERS, Case, Verdict, compare, load, missing_in_document

Record = Callable[[str, object], None]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    mail_cases.parametrize(metafunc)


@pytest.mark.mail_cases("spf")
def test_spf_says_what_the_suite_of_rfc_7208_expects(case: Case, record_property: Record) -> None:
    assert _recorded(case, record_property).outcome == "agree"


@pytest.mark.mail_cases("orgdomain")
def test_the_organizational_domain_is_the_expected_one(case: Case, record_property: Record) -> None:
    assert _recorded(case, record_property).outcome == "agree"


@pytest.mark.mail_cases("alignment")
def test_identifiers_are_aligned_as_expected_or_rejected_by_a_rule(case: Case, record_property: Record) -> None:
    verdict = _recorded(case, record_property)
    assert verdict.outcome in ("agree", "stricter"), verdict.ours


@pytest.mark.mail_cases("from_header")
def test_a_from_header_is_never_taken_for_another_domain_than_the_expected(case: Case, record_property: Record) -> None:
    verdict = _recorded(case, record_property)
    found = mail_cases.from_of(case)
    if isinstance(found, Mailbox):
        assert case["expected"] in (found.domain, f"reject-or-{found.domain}")
    assert verdict.outcome in ("agree", "stricter"), verdict.ours


@pytest.mark.mail_cases("dkim_message")
def test_signatures_hold_or_fail_as_the_rfcs_say(case: Case, record_property: Record) -> None:
    verdict = _recorded(case, record_property)
    assert verdict.outcome in ("agree", "stricter"), verdict.ours


@pytest.mark.mail_cases
def test_the_document_tells_the_numbers_and_explains_every_rule(pytestconfig: pytest.Config) -> None:
    cases = load(pytestconfig.getoption("mail_cases"))
    for kind in NUMBERS:
        assert not missing_in_document(kind, [compare(case) for case in cases if case["kind"] == kind])


def _recorded(case: Case, record_property: Record) -> Verdict:
    verdict = compare(case)
    record_property("mail_case", verdict.told(case["kind"]))
    return verdict
