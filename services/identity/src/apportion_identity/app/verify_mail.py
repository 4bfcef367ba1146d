"""Verifying a mail with the DNS at hand: ask what the verifier needs, and verify again."""

from __future__ import annotations

from apportion_common.clock import Clock
from apportion_common.errors import Unavailable

from apportion_identity.app.edges import DnsLookup
from apportion_identity.domain.domain_names import PublicSuffixes
from apportion_identity.domain.mail.message import Message, read_message
from apportion_identity.domain.mail.types import (
    DnsAnswer,
    DnsQuestion,
    DnsTrouble,
    Envelope,
    Evidence,
    NeedsAnswers,
    Rejection,
    Verification,
)
from apportion_identity.domain.mail.verifier import verify
from apportion_identity.limits import DNS_RETRY_AFTER_S, VERIFICATION_QUESTIONS_MAX, VERIFICATION_ROUNDS_MAX

TOO_MANY_QUESTIONS = Rejection(
    "DNS_QUESTIONS_TOO_MANY",
    "The domain's DNS records lead to more questions than one message may cause. Shorten the domain's SPF record.",
)
"""The result of a message that would ask forever: the bound is far above what RFC 7208 section 4.6.4 allows."""


class MailVerifier:
    """Verifies messages; asks the DNS, and nothing else."""

    def __init__(self, dns: DnsLookup, suffixes: PublicSuffixes, clock: Clock) -> None:
        """Ask this DNS."""
        self._dns = dns
        self._suffixes = suffixes
        self._clock = clock

    async def verify(self, raw: bytes | Message, envelope: Envelope, *, domain: str, address: str) -> Verification:
        """Verify whether a message proves `domain` to the claim with `address` (both normalised).

        A message that was read already is not read again. Unavailable DNS_UNAVAILABLE with a time to try again when the
        DNS fails for an answer that matters: nothing is decided then.
        """
        message = raw if isinstance(raw, Message) else read_message(raw)
        if isinstance(message, Rejection):
            return Verification(message, Evidence())
        now_s = self._clock.now_us() // 1_000_000
        answers: dict[DnsQuestion, DnsAnswer] = {}
        for _ in range(VERIFICATION_ROUNDS_MAX):
            try:
                return verify(
                    message,
                    envelope,
                    domain=domain,
                    address=address,
                    now_s=now_s,
                    answers=answers,
                    suffixes=self._suffixes,
                )
            except NeedsAnswers as needs:
                if len(answers) + len(needs.questions) > VERIFICATION_QUESTIONS_MAX:
                    break
                answers.update(await self._dns.ask(needs.questions))
            except DnsTrouble as trouble:
                raise Unavailable(
                    "DNS_UNAVAILABLE",
                    f"The DNS gave no answer for {trouble.question.text}; nothing was decided. Send the same message "
                    "again later.",
                    retry_after_s=DNS_RETRY_AFTER_S,
                ) from trouble
        return Verification(TOO_MANY_QUESTIONS, Evidence())
