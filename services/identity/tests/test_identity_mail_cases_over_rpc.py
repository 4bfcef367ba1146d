"""Published mail cases through SubmitVerificationEmail: a claim in a real database, its DNS on the loopback address.

The messages were written to others. A claim here therefore has for its address the one that the message was sent to,
and for its domain one that the message speaks for; everything else is as it runs. From headers are put to the test by
signing each message, truly, forevery domain that it mentions: what rejects it then is the From header alone.
"""

from __future__ import annotations

import json
import re
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import mail_cases
import pytest
import pytest_asyncio
from apportion.identity.v1 import identity_service_pb2 as pb
from apportion_common.caller import Caller
from apportion_common.errors import ApportionError, Unavailable
from apportion_dev.testing.databases import DatabaseFactory, ServiceDatabase
from apportion_identity.adapters.dns import DnsResolver
from apportion_identity.app import verifications
from apportion_identity.domain.claim_states import ClaimStatus
from apportion_identity.domain.claims import Claim
from apportion_identity.domain.domain_names import canonical_domain
from apportion_identity.domain.mail.dkim import Signature, read_signatures
from apportion_identity.domain.mail.from_header import Mailbox
from apportion_identity.domain.mail.message import Message, read_message
from apportion_identity.domain.proofs import token_hash
from apportion_identity.store.claims import ClaimStore
from identity_harness import IdentityHarness
from loopback_dns import ANSWERED_WITHIN_S, SILENT_FOR_S, LoopbackDns
from mail_cases import Case, Verdict
from mail_maker import Signer

pytestmark = pytest.mark.servers

CALLER = Caller("service_account:relay", frozenset({"service"}))
VERIFIED = "VERIFIED"
FALLBACK_TO = "claims@apportion.dev"
Record = Callable[[str, object], None]

_verdicts: dict[str, list[Verdict]] = {"dkim_message over the RPC": [], "from_header over the RPC": []}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    mail_cases.parametrize(metafunc)


class MailHarness(IdentityHarness):
    """Claims that wait for mail at addresses of a test's choosing."""

    def __init__(self, place: ServiceDatabase, dns: LoopbackDns, at: datetime) -> None:
        super().__init__(place, at=at)
        self.resolver = resolver = DnsResolver([dns.server], ANSWERED_WITHIN_S, self.clock)
        # A proof key of its own: the same message proves again for each case.
        proof_key = secrets.token_bytes(32)
        self.outside = replace(self.outside, dns=resolver, proof_key=proof_key, claim_mail_domain="apportion.dev")
        self.parts = self.process()
        self._stored = ClaimStore()

    async def claim(self, domain: str, address: str) -> Claim:
        """A pending claim of the domain, with that address to mail to."""
        now = self.clock.now()
        record = Claim(
            claim_id=uuid4(),
            org_id=uuid4(),
            domain=domain,
            status=ClaimStatus.PENDING,
            created_by="user:1",
            created_at=now,
            token_hash=token_hash(address.encode()),
            token_expires_at=now + timedelta(hours=72),
        )
        async with self.database.transaction() as tx:
            await self._stored.add_claim(tx, record)
        return record

    async def submit(self, message: bytes, mail_from: str, rcpt_to: str) -> pb.SubmitVerificationEmailResponse:
        """Submit a message that was delivered for an address: its claim is found whatever the header says."""
        request = pb.SubmitVerificationEmailRequest(
            message=message, mail_from=mail_from, rcpt_to=rcpt_to, request_id=str(uuid4())
        )
        answer: pb.SubmitVerificationEmailResponse = await self.call(CALLER, "SubmitVerificationEmail", request)
        return answer


@pytest.fixture
def dns() -> Iterator[LoopbackDns]:
    with LoopbackDns() as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def place(database_factory: DatabaseFactory) -> AsyncIterator[ServiceDatabase]:
    """One database for all cases: each leaves only revoked claims behind."""
    made = database_factory.service("identity")
    yield made
    await made.close()
    database_factory.drop(made.name)


@pytest_asyncio.fixture(loop_scope="session")
async def make_harness(
    place: ServiceDatabase, dns: LoopbackDns, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[[datetime], MailHarness]]:
    # Any address is a token here: the messages' recipients are given, and are no addresses of claims.
    monkeypatch.setattr(verifications, "token_of_address", lambda address, _: address.lower().encode())
    made: list[MailHarness] = []

    def make(at: datetime) -> MailHarness:
        made.append(MailHarness(place, dns, at))
        return made[-1]

    yield make
    for harness in made:
        await revoke_all(harness)


@pytest.mark.mail_cases("dkim_message")
async def test_a_published_message_proves_its_domain_only_if_its_signature_holds(
    case: Case, make_harness: Callable[[datetime], MailHarness], dns: LoopbackDns, record_property: Record
) -> None:
    dns.load(case["dns"])
    raw = mail_cases.message_of(case)
    harness = make_harness(datetime.fromtimestamp(mail_cases.verified_at_s(case), UTC))
    domain = claimed_domain(case, raw)
    claim = await harness.claim(domain, recipient_of(raw))
    answer = await harness.submit(raw, f"ann@{domain}", recipient_of(raw))
    takes = '"pass"' in json.dumps(case["expected"]) and not mail_cases.is_rejected_case(case)
    verdict = compared(takes, answer)
    recorded(verdict, "dkim_message over the RPC", record_property)
    assert verdict.outcome in ("agree", "stricter")
    assert answer.reason
    assert answer.explanation
    if verdict.outcome == "agree" and not takes:
        assert answer.reason.startswith(("DKIM_", "FROM_", "NOT_SIGNED")), answer.reason
    assert (await status_of(harness, claim)) is (
        ClaimStatus.VERIFIED if answer.reason == VERIFIED else ClaimStatus.PENDING
    )


@pytest.mark.mail_cases("from_header")
async def test_a_truly_signed_message_proves_only_the_domain_that_its_from_header_is_of(
    case: Case, make_harness: Callable[[datetime], MailHarness], dns: LoopbackDns, record_property: Record
) -> None:
    harness = make_harness(mail_cases.VERIFIED_AT)
    expected = case["expected"].removeprefix("reject-or-")
    answers = []
    for domain in mentioned_domains(case):
        raw = mail_cases.message_of(case)
        signer = Signer(domain, "cases", "ed25519-sha256")
        dns.set(signer.question.name, "TXT", [signer.record()])
        await harness.claim(domain, recipient_of(raw))
        answer = await harness.submit(signed(signer, raw), f"ann@{domain}", recipient_of(raw))
        answers.append(answer)
        assert answer.reason != VERIFIED or domain == expected, "another domain than the From header's was proved"
        # Nothing but the header rejects it: the signature is true, and so are recipient and claim.
        assert answer.reason == VERIFIED or answer.reason.startswith(("FROM_", "HEADER_", "MESSAGE_"))
        await revoke_all(harness)
    assert answers or case["expected"] == "reject"
    took = any(answer.reason == VERIFIED for answer in answers)
    suite = case.get("suite_expected") or ""
    if took or (case["expected"].startswith("reject") and not re.fullmatch(r"[\w-]+(\.[\w-]+)+", suite)):
        verdict = Verdict("agree")
    else:
        told = Counter(answer.reason for answer in answers)
        verdict = Verdict("stricter", told.most_common(1)[0][0])
    recorded(verdict, "from_header over the RPC", record_property)
    if not case["expected"].startswith("reject"):
        assert took, [answer.reason for answer in answers]


@pytest.mark.mail_cases
def test_the_document_tells_what_the_rpc_said() -> None:
    for kind, verdicts in _verdicts.items():
        if len(verdicts) != mail_cases.NUMBERS[kind.partition(" ")[0]]:
            pytest.skip("The numbers are those of all cases, and only some of them ran here.")
        assert not mail_cases.missing_in_document(kind, verdicts)


async def test_a_failing_dns_leaves_the_claim_pending_and_the_same_message_proves_it_later(
    make_harness: Callable[[datetime], MailHarness], dns: LoopbackDns, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness = make_harness(mail_cases.VERIFIED_AT)
    monkeypatch.setattr(harness.resolver, "_timeout_s", SILENT_FOR_S)
    signer = Signer("acme.com.au", "cases")
    dns.set(signer.question.name, "TXT", [signer.record()])
    claim = await harness.claim("acme.com.au", FALLBACK_TO)
    raw = signer.sign(
        f"From: Ann <ann@acme.com.au>\r\nTo: {FALLBACK_TO}\r\nSubject: x\r\n\r\nhi\r\n".encode(), signed_at_s=None
    )
    for how in ("servfail", "silent"):
        dns.go_down(how)
        with pytest.raises(Unavailable) as rejected:
            await harness.submit(raw, "ann@acme.com.au", FALLBACK_TO)
        assert rejected.value.reason == "DNS_UNAVAILABLE"
        assert rejected.value.retry_after_s
        assert await status_of(harness, claim) is ClaimStatus.PENDING
    dns.come_back()
    assert (await harness.submit(raw, "ann@acme.com.au", FALLBACK_TO)).reason == VERIFIED
    assert await status_of(harness, claim) is ClaimStatus.VERIFIED


def recorded(verdict: Verdict, kind: str, record_property: Record) -> None:
    """Tell the run's report and the document's test of a verdict."""
    _verdicts[kind].append(verdict)
    record_property("mail_case", verdict.told(kind))


def compared(takes: bool, answer: pb.SubmitVerificationEmailResponse) -> Verdict:
    """Whether we take what the case takes."""
    took = answer.outcome == pb.VERIFICATION_OUTCOME_VERIFIED
    if took == takes:
        return Verdict("agree")
    return Verdict("differ") if took else Verdict("stricter", answer.reason)


def claimed_domain(case: Case, raw: bytes) -> str:
    """The domain that a message is from; where the From header is rejected, the one that signs it."""
    message = read_message(raw)
    assert isinstance(message, Message)
    found = mail_cases.split_from([field.raw_value for field in message.all(b"from")])
    if isinstance(found, Mailbox):
        return found.domain
    return next(one.domain for one in read_signatures(message) if isinstance(one, Signature))


def recipient_of(raw: bytes) -> str:
    """The address that a message was sent to, in lower case."""
    found = re.search(rb"^To:[^\r\n]*?([\w.+-]+@[\w.-]+)", raw, re.MULTILINE | re.IGNORECASE)
    return found[1].decode().lower() if found else FALLBACK_TO


def mentioned_domains(case: Case) -> list[str]:
    """Every domain that the From lines of a case mention, with what encoded words hide."""
    inputs = case["inputs"]
    text = inputs.get("from_value") or mail_cases.message_of(case).decode("utf-8", "replace")
    text += " @legitimate.com @attack.com"
    found = []
    for name in re.findall(r"@([^\s<>,;:()\"\\@?=]+)", text.partition("\r\nTo:")[0] + text[-40:]):
        try:
            found.append(canonical_domain(name))
        except ApportionError:
            continue
    return list(dict.fromkeys(name for name in found if "." in name))


def signed(signer: Signer, raw: bytes) -> bytes:
    """The message with a signature before it; as it is where it begins with what would become a part of that."""
    return raw if raw.startswith((b" ", b"\t")) else signer.sign(raw, signed_at_s=None)


async def status_of(harness: MailHarness, claim: Claim) -> ClaimStatus:
    async with harness.database.read() as connection:
        found = await ClaimStore().find_claim(connection, claim.claim_id)
    assert found is not None
    return found.status


async def revoke_all(harness: MailHarness) -> None:
    """Make room for the next claim at the same address."""
    async with harness.database.transaction() as tx:
        await tx.connection.exec_driver_sql(
            "UPDATE domain_claim SET status = 'revoked', token_hash = NULL, token_expires_at = NULL"
        )
