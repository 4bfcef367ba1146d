"""`apportion claim`: domains that organisations claim, and how they are proved by mail."""

from __future__ import annotations

import sys
from email import message_from_bytes
from email.utils import parseaddr
from pathlib import Path
from typing import Annotated, Final

import typer
from apportion.identity.v1 import identity_service_pb2 as identity
from apportion_client.names import Names
from apportion_client.pages import every
from apportion_client.services import CALL_TIMEOUT_S, Services
from apportion_common.ids import uuid7

from apportion_cli.display import counted, print_line, show_fields, show_table, when, word
from apportion_cli.options import OwnOrgOption, PrefixOption
from apportion_cli.run import read_file, run
from apportion_cli.secret_input import SaveOption, print_secret

VALUE_CHARS = 90
"""Of a DNS record are shown."""
STATE_STYLES = {"good": "green", "weak": "yellow", "absent": "yellow", "broken": "red"}
CONTESTED: Final = (
    "Another claim covers this name, too. Prove it all the same: a claim that nothing has proved yields to the first "
    "one that is proved. Where both are, the platform's operators settle it."
)
AWAITING: Final = (
    "Its proof is kept. Another claim that is proved covers this name, too; the platform's operators settle it."
)
COLUMNS = ("claim", "domain", "status", "wildcard", "created", "verified", "address ends")

app = typer.Typer(help="Domains that organisations claim, and how they are proved by mail.", no_args_is_help=True)

ClaimArgument = Annotated[str, typer.Argument(help="Id of a claim.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; kept in the audit.")]


@app.command()
def create(
    domain: Annotated[str, typer.Argument(help="Such as acme.com.")],
    org: OwnOrgOption,
    prefix: PrefixOption = "",
    save: SaveOption = None,
) -> None:
    """Claim a domain and show the address that a mail from it must be sent to."""

    async def main(services: Services) -> None:
        names = Names(services, prefix)
        request = identity.CreateClaimRequest(org_id=await names.org(org), domain=domain, request_id=f"claim:{uuid7()}")
        answer = await services.identity.CreateClaim(request, timeout=CALL_TIMEOUT_S)
        _show(answer.claim)
        _tell_how(answer.claim, answer.mail_to, org, save)

    run(main)


@app.command()
def renew(claim: ClaimArgument, org: OwnOrgOption, prefix: PrefixOption = "", save: SaveOption = None) -> None:
    """Assign an unproven claim a new address to mail to; the old one ends."""

    async def main(services: Services) -> None:
        names = Names(services, prefix)
        request = identity.RenewClaimTokenRequest(
            org_id=await names.org(org), claim_id=claim, request_id=f"renew:{uuid7()}"
        )
        answer = await services.identity.RenewClaimToken(request, timeout=CALL_TIMEOUT_S)
        _show(answer.claim)
        _tell_how(answer.claim, answer.mail_to, org, save)

    run(main)


@app.command(name="list")
def list_(org: OwnOrgOption, prefix: PrefixOption = "") -> None:
    """Show an organisation's claims, newest first."""

    async def main(services: Services) -> None:
        names = Names(services, prefix)
        request = identity.ListClaimsRequest(org_id=await names.org(org))
        claims = await every(services.identity.ListClaims, request, "claims")
        show_table(counted(len(claims), "claim"), COLUMNS, [_row(claim) for claim in claims])

    run(main)


@app.command()
def show(claim: ClaimArgument, org: OwnOrgOption, prefix: PrefixOption = "") -> None:
    """Show a claim and the names that it delegates."""

    async def main(services: Services) -> None:
        names = Names(services, prefix)
        request = identity.GetClaimRequest(org_id=await names.org(org), claim_id=claim)
        _show((await services.identity.GetClaim(request, timeout=CALL_TIMEOUT_S)).claim)

    run(main)


@app.command()
def submit(
    file: Annotated[Path, typer.Argument(help="The message as it was received (RFC 5322); - for standard input.")],
    client_ip: Annotated[str, typer.Option(help="Address that it came from; counts for trusted relays only.")] = "",
    helo: Annotated[str, typer.Option(help="Name that the sender's server gave.")] = "",
    mail_from: Annotated[
        str | None,
        typer.Option(help="Envelope sender, <> for the null sender; the message's Return-Path or From when not given."),
    ] = None,
    rcpt_to: Annotated[str, typer.Option(help="Envelope recipient; found in the message when not given.")] = "",
) -> None:
    """Have a message verified as the SMTP gateway would; for operators. Exit code 1 when it proves nothing."""
    content = sys.stdin.buffer.read() if str(file) == "-" else read_file(file)
    if b"\r\n" not in content:
        # As mail programs save messages; what was signed had the line ends of the wire.
        content = content.replace(b"\n", b"\r\n")
    request = identity.SubmitVerificationEmailRequest(
        message=content,
        client_ip=client_ip,
        helo=helo,
        mail_from=_sender(content) if mail_from is None else mail_from.removeprefix("<").removesuffix(">"),
        rcpt_to=rcpt_to,
        request_id=f"submit:{uuid7()}",
    )

    async def main(services: Services) -> identity.SubmitVerificationEmailResponse:
        return await services.identity.SubmitVerificationEmail(request, timeout=CALL_TIMEOUT_S)

    answer = run(main)
    refused = answer.outcome == identity.VERIFICATION_OUTCOME_REJECTED
    outcome = word(identity.VerificationOutcome.Name(answer.outcome), "VERIFICATION_OUTCOME_")
    print_line(f"{outcome}: {answer.reason}", "red" if refused else "green")
    print_line(answer.explanation)
    _show_evidence(answer)
    if refused:
        raise typer.Exit(1)


@app.command()
def revoke(claim: ClaimArgument, org: OwnOrgOption, reason: ReasonOption, prefix: PrefixOption = "") -> None:
    """Withdraw a claim."""

    async def main(services: Services) -> None:
        names = Names(services, prefix)
        request = identity.RevokeClaimRequest(
            org_id=await names.org(org), claim_id=claim, reason=reason, request_id=f"revoke:{uuid7()}"
        )
        _show((await services.identity.RevokeClaim(request, timeout=CALL_TIMEOUT_S)).claim)

    run(main)


@app.command()
def wildcard(
    claim: ClaimArgument,
    org: OwnOrgOption,
    off: Annotated[bool, typer.Option("--off", help="Take it back.")] = False,
    prefix: PrefixOption = "",
) -> None:
    """Extend a verified claim to the names below it; asks for an Owner's token with a second factor."""

    async def main(services: Services) -> None:
        names = Names(services, prefix)
        request = identity.SetWildcardRequest(
            org_id=await names.org(org), claim_id=claim, wildcard=not off, request_id=f"wildcard:{uuid7()}"
        )
        _show((await services.identity.SetWildcard(request, timeout=CALL_TIMEOUT_S)).claim)

    run(main)


@app.command()
def delegate(
    claim: ClaimArgument,
    domain: Annotated[str, typer.Argument(help="A name below the claimed domain.")],
    to: Annotated[str, typer.Option("--to", help="Slug or id of the subsidiary that may use it.")],
    org: OwnOrgOption,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Take it back.")] = False,
    prefix: PrefixOption = "",
) -> None:
    """Delegate to a subsidiary a name below a verified domain."""

    async def main(services: Services) -> None:
        names = Names(services, prefix)
        request = identity.DelegateSubdomainRequest(
            org_id=await names.org(org),
            claim_id=claim,
            domain=domain,
            subsidiary_org_id=await names.org(to),
            withdraw=withdraw,
            request_id=f"delegate:{uuid7()}",
        )
        _show((await services.identity.DelegateSubdomain(request, timeout=CALL_TIMEOUT_S)).claim)

    run(main)


@app.command()
def doctor(
    domain: Annotated[str, typer.Argument(help="Such as acme.com.")],
    selector: Annotated[str, typer.Option(help="DKIM selector to look for; common ones are tried otherwise.")] = "",
) -> None:
    """Show what a mail from a domain would be verified by, and what its owner should mend."""
    request = identity.InspectDomainRequest(domain=domain, selector=selector)

    async def main(services: Services) -> identity.InspectDomainResponse:
        return await services.identity.InspectDomain(request, timeout=CALL_TIMEOUT_S)

    _show_inspection(run(main))


def _show_inspection(found: identity.InspectDomainResponse) -> None:
    claimable = "it can be claimed" if found.claimable else f"it cannot be claimed: {found.reason}"
    print_line(f"{found.domain}: {claimable}.", "green" if found.claimable else "red")
    print_line(f"Organizational domain (RFC 9989): {found.organizational_domain or 'none found'}.")
    if found.claimable:
        print_line(
            f"A mail proves it when its From is at {found.domain} itself and it is signed by DKIM with "
            f"d={found.domain}, From and To among the signed headers, or comes straight from a server that SPF allows "
            f"for {found.domain}."
        )
    rows = [(record.kind, record.state, record.name, _short(record.value)) for record in found.records]
    styles = [STATE_STYLES.get(record.state, "") for record in found.records]
    show_table("Records found", ("kind", "state", "name", "value"), rows, styles=styles)
    for record in found.records:
        if found.claimable and record.advice and record.advice not in found.advice:
            print_line(f"{record.kind} {record.name}: {record.advice}")
    if found.advice:
        print_line("What to do:", "bold")
    for number, advice in enumerate(found.advice, 1):
        print_line(f"  {number}. {advice}")


def _show_evidence(answer: identity.SubmitVerificationEmailResponse) -> None:
    evidence = answer.evidence
    show_fields(
        {
            "claim": answer.claim_id,
            "From": evidence.from_domain,
            "SPF": f"{evidence.spf_result} {evidence.spf_domain}".strip(),
            "DMARC": evidence.dmarc_policy,
            "organizational domain": evidence.organizational_domain,
            "aligned by": ", ".join(
                name
                for name, aligned in (("DKIM", evidence.aligned_by_dkim), ("SPF", evidence.aligned_by_spf))
                if aligned
            ),
        }
    )
    rows = [(one.domain, one.selector, one.result, one.reason) for one in evidence.dkim]
    if rows:
        show_table("DKIM signatures", ("domain", "selector", "result", "reason"), rows)


def _tell_how(claim: identity.DomainClaim, mail_to: str, org: str, save: Path | None) -> None:
    print_line(
        f"To prove it, send a mail from any address at {claim.domain}, DKIM-signed by {claim.domain}, to the claim's "
        f"address before {when(claim.token_expires_at)}."
    )
    print_line(f"`apportion claim doctor {claim.domain}` shows what it will be judged on,")
    print_line(f"`apportion claim show {claim.claim_id} --org {org}` whether it is proved.")
    print_secret("The claim's address", mail_to, save)


def _show(claim: identity.DomainClaim) -> None:
    show_fields(dict(zip(COLUMNS, _row(claim), strict=True)))
    if claim.status == identity.CLAIM_STATUS_PENDING_CONFLICT:
        print_line(CONTESTED if claim.HasField("token_expires_at") else AWAITING)
    rows = [(one.domain, one.org_id, when(one.delegated_at)) for one in claim.delegations]
    if rows:
        show_table("Delegated", ("domain", "org", "since"), rows)


def _row(claim: identity.DomainClaim) -> tuple[str, ...]:
    return (
        claim.claim_id,
        claim.domain,
        word(identity.ClaimStatus.Name(claim.status), "CLAIM_STATUS_"),
        "yes" if claim.wildcard else "",
        when(claim.created_at),
        when(claim.verified_at),
        when(claim.token_expires_at),
    )


def _sender(content: bytes) -> str:
    """Return the envelope sender of a saved message: what the last server wrote into it, else whom it says it is
    from.
    """
    message = message_from_bytes(content)
    written = message["Return-Path"] or message["From"] or ""
    return parseaddr(str(written))[1]


def _short(text: str) -> str:
    return text if len(text) <= VALUE_CHARS else f"{text[:VALUE_CHARS]}…"
