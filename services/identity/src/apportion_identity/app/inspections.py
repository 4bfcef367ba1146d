"""InspectDomain: what a mail from a domain would be verified by, with the DNS at hand."""

from __future__ import annotations

from apportion_common.errors import InvalidArgument, Unavailable

from apportion_identity.app.edges import DnsLookup
from apportion_identity.app.settings import GlobalSettings
from apportion_identity.domain.domain_names import PublicSuffixes, canonical_domain, domain_malformed
from apportion_identity.domain.mail.inspection import Inspection, inspect
from apportion_identity.domain.mail.types import DnsAnswer, DnsQuestion, DnsTrouble, NeedsAnswers
from apportion_identity.limits import DNS_RETRY_AFTER_S, INSPECTION_QUESTIONS_MAX, INSPECTION_ROUNDS_MAX


class Inspections:
    """Looks at domains; nothing is changed."""

    def __init__(self, dns: DnsLookup, suffixes: PublicSuffixes, settings: GlobalSettings) -> None:
        """Ask this DNS; `settings` has the list of shared mail domains."""
        self._dns = dns
        self._suffixes = suffixes
        self._settings = settings

    async def inspect(self, text: str, selector: str) -> Inspection:
        """Look at the domain that a text spells, at one DKIM selector or, when it is empty, at the common ones.

        InvalidArgument DOMAIN_MALFORMED, for an address too: it has no records. Unavailable DNS_UNAVAILABLE with a time
        to try again when the DNS fails, or leads to more questions than one inspection may ask.
        """
        try:
            domain = canonical_domain(text)
        except InvalidArgument:
            raise domain_malformed() from None
        shared_mail = await self._settings.get_list("shared_mail_domains")
        answers: dict[DnsQuestion, DnsAnswer] = {}
        for _ in range(INSPECTION_ROUNDS_MAX):
            try:
                return inspect(domain, selector, self._suffixes, shared_mail, answers)
            except NeedsAnswers as needs:
                if len(answers) + len(needs.questions) > INSPECTION_QUESTIONS_MAX:
                    break
                answers.update(await self._dns.ask(needs.questions))
            except DnsTrouble as trouble:
                raise _unavailable(f"The DNS gave no answer for {trouble.question.text}") from trouble
        raise _unavailable("The domain's records lead to too many others")


def _unavailable(why: str) -> Unavailable:
    return Unavailable("DNS_UNAVAILABLE", f"{why}; try again later.", retry_after_s=DNS_RETRY_AFTER_S)
