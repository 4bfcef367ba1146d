"""Proving a claim by mail: from a message and its envelope to the claim's new status (spec 01, domain claims 2 to 4).

The message is read and judged before the transaction, for that asks the DNS; the transaction decides on what is there
then. A failure of the DNS leaves everything as it was, so the same message can come again.

A message proves once. What comes again for the claim that it proved, because an answer was lost on the way, gets the
same answer again; for any other claim it is refused.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Protocol

from apportion.identity.v1 import identity_service_pb2 as pb
from apportion_common.db.actor import current_actor
from apportion_common.db.idempotency import run_mutation
from apportion_common.db.unit_of_work import Database, Transaction
from apportion_common.ids import uuid7
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_identity import errors
from apportion_identity.app.claim_messages import evidence_message
from apportion_identity.app.conflicts import ClaimTerms, Conflicts, decided, read_terms
from apportion_identity.app.ports.claims import Attempt, ClaimRecord, ClaimStore
from apportion_identity.app.ports.settings import RuntimeSettings
from apportion_identity.domain.claim_states import ClaimStatus
from apportion_identity.domain.claims import (
    message_hash,
    proof_document,
    proof_hmac,
    token_hash,
    token_of_address,
)
from apportion_identity.domain.domain_names import is_shared_mail
from apportion_identity.domain.mail.evaluator import addresses_of, read_message
from apportion_identity.domain.mail.message import Message
from apportion_identity.domain.mail.types import Envelope, Evidence, Judgement, Refusal
from apportion_identity.limits import ATTEMPTS_PER_DAY_MAX, JUDGE_BESIDE_BYTES, MESSAGE_BYTES_MAX

GATEWAY_SUBJECT: Final = "service:identity"
"""Identity's own gateway: it saw the client itself."""
RPC: Final = "SubmitVerificationEmail"

VERIFIED: Final = Refusal("VERIFIED", "The domain is verified.")
CONFLICT: Final = Refusal(
    "DOMAIN_CONFLICT",
    "The proof is good and kept, but the domain is in dispute; the platform's operators will settle it.",
)
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
"""Why a message proves nothing, beside what the judge and the reading of the message say."""

OUTCOMES: Final = {
    ClaimStatus.VERIFIED: (pb.VERIFICATION_OUTCOME_VERIFIED, VERIFIED),
    ClaimStatus.PENDING_CONFLICT: (pb.VERIFICATION_OUTCOME_CONFLICT, CONFLICT),
}


class Judge(Protocol):
    """What judges a message, with the DNS at hand."""

    async def __call__(self, raw: bytes | Message, envelope: Envelope, *, domain: str, address: str) -> Judgement:
        """Whether the message proves the domain. Raises Unavailable DNS_UNAVAILABLE."""
        ...


@dataclass(frozen=True, slots=True)
class _Examined:
    """A message that names a claim, judged but not yet decided on. `message_key` tells it from other messages."""

    claim: ClaimRecord
    judgement: Judgement
    message_key: bytes


class Verification:
    """SubmitVerificationEmail, also as the SMTP gateway calls it."""

    def __init__(
        self,
        database: Database,
        claims: ClaimStore,
        conflicts: Conflicts,
        judge: Judge,
        settings: RuntimeSettings,
        *,
        proof_key: bytes,
        mail_domain: str,
    ) -> None:
        """Judge by `judge`; proofs are made with `proof_key`, addresses of claims end in `mail_domain`."""
        self._database = database
        self._claims = claims
        self._conflicts = conflicts
        self._judge = judge
        self._settings = settings
        self._proof_key = proof_key
        self._mail_domain = mail_domain

    async def knows(self, address: str) -> bool:
        """Whether a claim waits, or waited, for mail at this address."""
        token = token_of_address(address, self._mail_domain)
        if token is None:
            return False
        async with self._database.read() as connection:
            return bool(await self._claims_of(connection, [token_hash(token)]))

    async def submit(self, request: pb.SubmitVerificationEmailRequest) -> pb.SubmitVerificationEmailResponse:
        """Judge a message and do what it proves; every verdict is an answer.

        Raises InvalidArgument MESSAGE_TOO_LARGE, CLIENT_IP_MALFORMED; Unavailable DNS_UNAVAILABLE (nothing is decided),
        CLAIM_BUSY.
        """
        envelope = await self._envelope(request)
        examined = await self._examine(request.message, envelope, request.request_id)
        if isinstance(examined, pb.SubmitVerificationEmailResponse):
            # It names no claim: nothing is written, or anybody could fill the tables by mail.
            return examined
        terms = await read_terms(self._settings)

        async def work(tx: Transaction) -> pb.SubmitVerificationEmailResponse:
            assert examined is not None  # What has been answered is not worked on again.
            return await self._decide(tx, examined, terms)

        return await decided(
            lambda: run_mutation(self._database, RPC, request, pb.SubmitVerificationEmailResponse, work)
        )

    async def _envelope(self, request: pb.SubmitVerificationEmailRequest) -> Envelope:
        """The envelope; the client's address counts from trusted relays alone."""
        if len(request.message) > MESSAGE_BYTES_MAX:
            raise errors.message_too_large()
        if request.client_ip:
            try:
                ipaddress.ip_address(request.client_ip)
            except ValueError:
                raise errors.client_ip_malformed() from None
        subject = current_actor(self._database.service).subject
        trusted = subject == GATEWAY_SUBJECT or subject in await self._settings.get_list("trusted_mail_relays")
        return Envelope(
            client_ip=request.client_ip,
            helo=request.helo,
            mail_from=request.mail_from,
            rcpt_to=request.rcpt_to,
            trusted_relay=trusted and bool(request.client_ip),
        )

    async def _examine(
        self, raw: bytes, envelope: Envelope, request_id: str
    ) -> _Examined | pb.SubmitVerificationEmailResponse | None:
        """Read and judge a message; the answer itself when it names no claim.

        None when this very call was answered before: then it is not judged again, whatever the DNS says by now.
        """
        message = await _beside(raw, read_message)
        addresses = (envelope.rcpt_to,) if isinstance(message, Refusal) else addresses_of(message, envelope.rcpt_to)
        tokens = {address: token_of_address(address, self._mail_domain) for address in addresses}
        by_hash = {token_hash(token): address for address, token in tokens.items() if token is not None}
        subject = current_actor(self._database.service).subject
        async with self._database.read() as connection:
            if await self._claims.is_answered(connection, subject, request_id):
                return None
            found = await self._claims_of(connection, list(by_hash)) if by_hash else []
        if len(found) != 1:
            return _refused(_refusal("SEVERAL_CLAIMS_NAMED" if found else "CLAIM_TOKEN_UNKNOWN"), Evidence())
        (claim,) = found
        assert claim.token_hash is not None
        judgement = await self._judged(message, envelope, claim, by_hash[claim.token_hash])
        return _Examined(claim, judgement, judgement.message_key or raw)

    async def _claims_of(self, connection: AsyncConnection, hashes: list[bytes]) -> list[ClaimRecord]:
        """The claims of tokens' hashes, compared once more in constant time."""
        return [
            claim
            for claim in await self._claims.of_tokens(connection, hashes)
            if claim.token_hash is not None and any(hmac.compare_digest(claim.token_hash, one) for one in hashes)
        ]

    async def _judged(
        self, message: Message | Refusal, envelope: Envelope, claim: ClaimRecord, address: str
    ) -> Judgement:
        """The judge's verdict, unless the message or the claim is beyond it already."""
        if isinstance(message, Refusal):
            return Judgement(message, Evidence())
        if (closed := _closed(claim, self._database.clock.now())) is not None:
            return Judgement(closed, Evidence())
        if is_shared_mail(claim.domain, await self._settings.get_list("shared_mail_domains")):
            return Judgement(_refusal("DOMAIN_SHARED_MAIL"), Evidence())
        return await self._judge(message, envelope, domain=claim.domain, address=address)

    async def _decide(
        self, tx: Transaction, examined: _Examined, terms: ClaimTerms
    ) -> pb.SubmitVerificationEmailResponse:
        """What the message does, by what is there once the domain is held."""
        await self._conflicts.hold(tx, examined.claim.domain)
        claim = await self._claims.find_claim(tx.connection, examined.claim.claim_id)
        assert claim is not None
        proof_hash = message_hash(self._proof_key, examined.message_key)
        refusal = examined.judgement.refusal or self._closed_meanwhile(claim, examined.claim, tx.clock.now())
        if refusal is None and claim.proved_at is not None:
            if await self._claims.proved_by(tx.connection, proof_hash) == claim.claim_id:
                return _accepted(claim, examined.judgement.evidence)
            refusal = _refusal("CLAIM_TOKEN_USED")
        if refusal is None and not await self._claims.add_accepted(tx, self._attempt(tx, claim, proof_hash, None)):
            refusal = _refusal("MESSAGE_REPLAYED")
        if refusal is not None:
            await self._claims.add_refused(tx, self._attempt(tx, claim, proof_hash, refusal), ATTEMPTS_PER_DAY_MAX)
            return _refused(refusal, examined.judgement.evidence, claim)
        proved = self._proved(tx, claim, examined.judgement, proof_hash)
        return _accepted(await self._conflicts.grant(tx, claim, proved, terms.due_in), examined.judgement.evidence)

    def _closed_meanwhile(self, claim: ClaimRecord, before: ClaimRecord, now: datetime) -> Refusal | None:
        """What happened to the claim while its message was judged."""
        if claim.token_hash != before.token_hash:
            return _refusal("CLAIM_TOKEN_UNKNOWN")
        return _closed(claim, now)

    def _proved(self, tx: Transaction, claim: ClaimRecord, judgement: Judgement, proof_hash: bytes) -> ClaimRecord:
        """The claim with its proof."""
        now = tx.clock.now()
        seal = proof_hmac(self._proof_key, claim.claim_id, claim.domain, judgement.message_key, judgement.facts)
        proof = proof_document(seal, proof_hash, now, judgement.facts, claim.proof)
        return replace(claim, proof=proof, proved_at=now)

    def _attempt(self, tx: Transaction, claim: ClaimRecord, proof_hash: bytes, refusal: Refusal | None) -> Attempt:
        reason = "PROVED" if refusal is None else refusal.reason
        return Attempt(uuid7(), claim.claim_id, proof_hash, reason, refusal is None, tx.clock.now())


async def _beside(raw: bytes, read: Callable[[bytes], Message | Refusal]) -> Message | Refusal:
    """Read a message; a large one in a thread, so that the other calls go on."""
    return read(raw) if len(raw) < JUDGE_BESIDE_BYTES else await asyncio.to_thread(read, raw)


def _closed(claim: ClaimRecord, now: datetime) -> Refusal | None:
    """Why nothing can prove the claim any more."""
    if claim.status is ClaimStatus.REVOKED:
        return _refusal("CLAIM_WITHDRAWN")
    if claim.proved_at is None and claim.token_expires_at is not None and claim.token_expires_at <= now:
        return _refusal("CLAIM_TOKEN_EXPIRED")
    return None


def _refusal(reason: str) -> Refusal:
    return Refusal(reason, REASONS[reason])


def _refused(
    refusal: Refusal, evidence: Evidence, claim: ClaimRecord | None = None
) -> pb.SubmitVerificationEmailResponse:
    return pb.SubmitVerificationEmailResponse(
        outcome=pb.VERIFICATION_OUTCOME_REFUSED,
        reason=refusal.reason,
        explanation=refusal.explanation,
        claim_id="" if claim is None else str(claim.claim_id),
        evidence=evidence_message(evidence),
    )


def _accepted(claim: ClaimRecord, evidence: Evidence) -> pb.SubmitVerificationEmailResponse:
    """The answer to a good proof, by where it has brought the claim."""
    outcome, words = OUTCOMES[claim.status]
    return pb.SubmitVerificationEmailResponse(
        outcome=outcome,
        reason=words.reason,
        explanation=words.explanation,
        claim_id=str(claim.claim_id),
        evidence=evidence_message(evidence),
    )
