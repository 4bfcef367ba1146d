"""Proving a claim by mail: from a message and its envelope to the claim's new status (spec 01, domain claims 2 to 4).

The message is read and verified before the transaction, for that asks the DNS; the transaction decides on what is there
then. A failure of the DNS leaves everything as it was, so the same message can come again.

A message proves once. What comes again for the claim that it proved, because an answer was lost on the way, gets the
same answer again; for any other claim it is rejected.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from typing import Final
from uuid import UUID

from apportion_common.db.actor import current_actor
from apportion_common.db.idempotency import Mutation
from apportion_common.db.unit_of_work import Database, Transaction
from apportion_common.ids import uuid7
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_identity import errors
from apportion_identity.app.claim_changes import Answer, ClaimChanges, ClaimTerms, read_terms
from apportion_identity.app.claim_contests import ClaimContests
from apportion_identity.app.settings import GlobalSettings
from apportion_identity.app.verify_mail import MailVerifier
from apportion_identity.domain.claim_states import ClaimStatus
from apportion_identity.domain.claims import Claim
from apportion_identity.domain.domain_names import is_shared_mail
from apportion_identity.domain.mail.message import Message, read_message
from apportion_identity.domain.mail.types import Envelope, Evidence, Rejection, Verification
from apportion_identity.domain.mail.verifier import addresses_of
from apportion_identity.domain.proofs import message_hash, proof_document, proof_hmac, token_hash, token_of_address
from apportion_identity.limits import ATTEMPTS_PER_DAY_MAX, MESSAGE_BYTES_MAX, READ_IN_THREAD_BYTES_MIN
from apportion_identity.store.claims import ClaimStore
from apportion_identity.store.request_records import RequestRecordStore
from apportion_identity.store.verifications import VerificationAttempt, VerificationStore

GATEWAY_SUBJECT: Final = "service:identity"
"""Identity's own gateway: it saw the client itself."""

REASONS: Final = {
    "CLAIM_TOKEN_UNKNOWN": "No claim waits for mail at this address. Copy the address from the claim, or renew it.",
    "CLAIM_TOKEN_EXPIRED": "The claim's address takes no mail any more. Renew it and write to the new one.",
    "CLAIM_TOKEN_USED": "The claim was proved by another message already. Nothing more is to be mailed.",
    "CLAIM_WITHDRAWN": "The claim was given up or has ended. Make a new one and write to its address.",
    "DOMAIN_SHARED_MAIL": "The domain has become known as a mail provider's, where strangers have addresses. Claim a "
    "domain of your own.",
    "SEVERAL_CLAIMS_NAMED": "The message names the addresses of several claims. Write one message for each.",
    "MESSAGE_REPLAYED": "This message has proved another claim already. Write a new one.",
}
"""Why a message proves nothing, beside the reasons of the verifier and of the reading of the message."""


class Result(Enum):
    """What a message has done for its claim."""

    VERIFIED = "verified"
    CONFLICT = "conflict"
    REJECTED = "rejected"


PROVED: Final = {
    ClaimStatus.VERIFIED: (Result.VERIFIED, "VERIFIED", "The domain is verified."),
    ClaimStatus.PENDING_CONFLICT: (
        Result.CONFLICT,
        "DOMAIN_CONFLICT",
        "The proof is good and kept, but the domain is in dispute; the platform's operators will settle it.",
    ),
}
"""What a good proof is answered, by the status that it has brought the claim to."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a message: why, and what a person can do about it. `claim_id` is None when it names no claim."""

    result: Result
    reason: str
    explanation: str
    claim_id: UUID | None
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class SubmittedMail:
    """A message and the envelope that its submitter tells of."""

    message: bytes
    client_ip: str
    helo: str
    mail_from: str
    rcpt_to: str


@dataclass(frozen=True, slots=True)
class _Examined:
    """A message that names a claim, verified but not yet decided on. `message_key` tells it from other messages."""

    claim: Claim
    verification: Verification
    message_key: bytes


class Verifications:
    """SubmitVerificationEmail, also as the SMTP gateway calls it."""

    def __init__(
        self,
        database: Database,
        claims: ClaimStore,
        attempts: VerificationStore,
        request_records: RequestRecordStore,
        changes: ClaimChanges,
        contests: ClaimContests,
        verifier: MailVerifier,
        settings: GlobalSettings,
        *,
        proof_key: bytes,
        mail_domain: str,
    ) -> None:
        """Make proofs with `proof_key`; addresses of claims end in `mail_domain`."""
        self._database = database
        self._claims = claims
        self._attempts = attempts
        self._request_records = request_records
        self._changes = changes
        self._contests = contests
        self._verifier = verifier
        self._settings = settings
        self._proof_key = proof_key
        self._mail_domain = mail_domain

    async def knows(self, address: str) -> bool:
        """Return whether a claim waits, or waited, for mail at this address."""
        token = token_of_address(address, self._mail_domain)
        if token is None:
            return False
        async with self._database.read() as connection:
            return bool(await self._claims_of(connection, [token_hash(token)]))

    async def submit(self, mutation: Mutation[Outcome, Answer], mail: SubmittedMail) -> Answer:
        """Verify a message and do what it proves; every outcome is an answer.

        Raises InvalidArgument MESSAGE_TOO_LARGE, CLIENT_IP_MALFORMED; Unavailable DNS_UNAVAILABLE (nothing is decided),
        CLAIM_BUSY.
        """
        envelope = await self._envelope(mail)
        examined = await self._examine(mail.message, envelope, mutation.request_id)
        if isinstance(examined, Outcome):
            # It names no claim: nothing is written, or anybody could fill the tables by mail.
            return mutation.response(examined)
        terms = await read_terms(self._settings)

        async def work(tx: Transaction) -> Outcome:
            assert examined is not None  # What has been answered is not worked on again.
            return await self._decide(tx, examined, terms)

        return await self._changes.run(mutation, work)

    async def _envelope(self, mail: SubmittedMail) -> Envelope:
        """Return the envelope; the client's address counts from trusted relays alone."""
        if len(mail.message) > MESSAGE_BYTES_MAX:
            raise errors.message_too_large()
        if mail.client_ip:
            try:
                ipaddress.ip_address(mail.client_ip)
            except ValueError:
                raise errors.client_ip_malformed() from None
        subject = current_actor(self._database.service).subject
        trusted = subject == GATEWAY_SUBJECT or subject in await self._settings.get_list("trusted_mail_relays")
        return Envelope(
            client_ip=mail.client_ip,
            helo=mail.helo,
            mail_from=mail.mail_from,
            rcpt_to=mail.rcpt_to,
            trusted_relay=trusted and bool(mail.client_ip),
        )

    async def _examine(self, raw: bytes, envelope: Envelope, request_id: str) -> _Examined | Outcome | None:
        """Read and verify a message; the outcome itself when it names no claim.

        None when this very call was answered before: then it is not verified again, whatever the DNS says by now.
        """
        message = await _read_beside(raw, read_message)
        addresses = (envelope.rcpt_to,) if isinstance(message, Rejection) else addresses_of(message, envelope.rcpt_to)
        tokens = {address: token_of_address(address, self._mail_domain) for address in addresses}
        by_hash = {token_hash(token): address for address, token in tokens.items() if token is not None}
        subject = current_actor(self._database.service).subject
        async with self._database.read() as connection:
            if await self._request_records.is_answered(connection, subject, request_id):
                return None
            found = await self._claims_of(connection, list(by_hash)) if by_hash else []
        if len(found) != 1:
            return _rejected(_rejection("SEVERAL_CLAIMS_NAMED" if found else "CLAIM_TOKEN_UNKNOWN"), Evidence(), None)
        (claim,) = found
        assert claim.token_hash is not None
        verification = await self._verify(message, envelope, claim, by_hash[claim.token_hash])
        return _Examined(claim, verification, verification.message_key or raw)

    async def _claims_of(self, connection: AsyncConnection, hashes: list[bytes]) -> list[Claim]:
        """Return the claims of tokens' hashes, compared once more in constant time."""
        return [
            claim
            for claim in await self._claims.of_tokens(connection, hashes)
            if claim.token_hash is not None and any(hmac.compare_digest(claim.token_hash, one) for one in hashes)
        ]

    async def _verify(
        self, message: Message | Rejection, envelope: Envelope, claim: Claim, address: str
    ) -> Verification:
        """Verify a message, unless it or the claim is beyond it already."""
        if isinstance(message, Rejection):
            return Verification(message, Evidence())
        if (closed := _closed(claim, self._database.clock.now())) is not None:
            return Verification(closed, Evidence())
        if is_shared_mail(claim.domain, await self._settings.get_list("shared_mail_domains")):
            return Verification(_rejection("DOMAIN_SHARED_MAIL"), Evidence())
        return await self._verifier.verify(message, envelope, domain=claim.domain, address=address)

    async def _decide(self, tx: Transaction, examined: _Examined, terms: ClaimTerms) -> Outcome:
        """Do what the message proves, by what is there once the domain is locked."""
        await self._changes.lock(tx, examined.claim.domain)
        claim = await self._claims.find_claim(tx.connection, examined.claim.claim_id)
        assert claim is not None
        verification, evidence = examined.verification, examined.verification.evidence
        proof_hash = message_hash(self._proof_key, examined.message_key)
        rejection = verification.rejection or _closed_meanwhile(claim, examined.claim, tx.clock.now())
        if rejection is None and claim.proved_at is not None:
            if await self._attempts.proved_by(tx.connection, proof_hash) == claim.claim_id:
                return _accepted(claim, evidence)
            rejection = _rejection("CLAIM_TOKEN_USED")
        if rejection is None and not await self._attempts.add_accepted(tx, _attempt(tx, claim, proof_hash, "PROVED")):
            rejection = _rejection("MESSAGE_REPLAYED")
        if rejection is not None:
            attempt = _attempt(tx, claim, proof_hash, rejection.reason)
            await self._attempts.add_rejected(tx, attempt, ATTEMPTS_PER_DAY_MAX)
            return _rejected(rejection, evidence, claim.claim_id)
        proved = self._proved(claim, verification, proof_hash, tx.clock.now())
        return _accepted(await self._contests.award(tx, claim, proved, terms.due_in), evidence)

    def _proved(self, claim: Claim, verification: Verification, proof_hash: bytes, now: datetime) -> Claim:
        """Return the claim with its proof."""
        facts = verification.facts
        seal = proof_hmac(self._proof_key, claim.claim_id, claim.domain, verification.message_key, facts)
        return replace(claim, proof=proof_document(seal, proof_hash, now, facts, claim.proof), proved_at=now)


async def _read_beside(raw: bytes, read: Callable[[bytes], Message | Rejection]) -> Message | Rejection:
    """Read a message; a large one in a thread, so that the other calls go on."""
    return read(raw) if len(raw) < READ_IN_THREAD_BYTES_MIN else await asyncio.to_thread(read, raw)


def _closed(claim: Claim, now: datetime) -> Rejection | None:
    """Return why nothing can prove the claim any more."""
    if claim.status is ClaimStatus.REVOKED:
        return _rejection("CLAIM_WITHDRAWN")
    if claim.proved_at is None and claim.is_expired(now):
        return _rejection("CLAIM_TOKEN_EXPIRED")
    return None


def _closed_meanwhile(claim: Claim, before: Claim, now: datetime) -> Rejection | None:
    """Return what happened to the claim while its message was verified."""
    if claim.token_hash != before.token_hash:
        return _rejection("CLAIM_TOKEN_UNKNOWN")
    return _closed(claim, now)


def _attempt(tx: Transaction, claim: Claim, proof_hash: bytes, reason: str) -> VerificationAttempt:
    return VerificationAttempt(uuid7(), claim.claim_id, proof_hash, reason, tx.clock.now())


def _rejection(reason: str) -> Rejection:
    return Rejection(reason, REASONS[reason])


def _rejected(rejection: Rejection, evidence: Evidence, claim_id: UUID | None) -> Outcome:
    return Outcome(Result.REJECTED, rejection.reason, rejection.explanation, claim_id, evidence)


def _accepted(claim: Claim, evidence: Evidence) -> Outcome:
    """Return the outcome of a good proof, by the status that it has brought the claim to."""
    result, reason, explanation = PROVED[claim.status]
    return Outcome(result, reason, explanation, claim.claim_id, evidence)
