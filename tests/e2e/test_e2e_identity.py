"""Domains proved by mail through the whole system: the command line, the SMTP gateway, really signed messages, DNS."""

from __future__ import annotations

import asyncio
import os
import re
import smtplib
import ssl
import sys
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from apportion.identity.v1 import identity_service_pb2 as identity
from apportion.orgs.v1 import orgs_service_pb2 as orgs
from apportion_client.services import CALL_TIMEOUT_S
from harness import Refusal, System, refusal
from loopback_dns import LoopbackDns
from mail_maker import Signer, make_message
from oidc_issuer import LocalIssuer

pytestmark = pytest.mark.stack

ADDRESS = re.compile(r"claim-[a-z2-7]{52}@[a-z.]+")
CLAIM = re.compile(r"^claim +([0-9a-f-]{36})", re.MULTILINE)
COMMAND_TIMEOUT_S = 60
HELO = "mail.example.com"


class Side:
    """One who uses the command line, with a token of his own."""

    def __init__(self, system: System, folder: Path, token: str | None = None, org: UUID | None = None) -> None:
        self.system = system
        self.org = org
        self.token = token
        self.email = ""
        self.environment = {**os.environ, **system.environment}
        if token is not None:
            file = folder / f"{uuid4()}.jwt"
            file.write_text(token)
            self.environment["APPORTION_TOKEN_FILE"] = str(file)
        self.seen = ""

    async def run(self, *arguments: str, code: int = 0, secret: str = "") -> str:
        """What `apportion …` prints; fails when it ends with another exit code."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "apportion_cli.main", *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=self.environment,
        )
        async with asyncio.timeout(COMMAND_TIMEOUT_S):
            said, _ = await process.communicate(secret.encode())
        text = said.decode()
        assert process.returncode == code, text
        self.seen += text
        return text

    async def claim(self, domain: str) -> tuple[str, str]:
        """Claim a domain; the claim's id and the address to mail to."""
        text = await self.run("claim", "create", domain, "--org", str(self.org))
        found, address = CLAIM.search(text), ADDRESS.search(text)
        assert found is not None
        assert address is not None
        return found.group(1), address.group()

    async def status(self, claim_id: str) -> identity.DomainClaim:
        """The claim as its organisation sees it, by the RPC."""
        request = identity.GetClaimRequest(org_id=str(self.org), claim_id=claim_id)
        answer = await self.system.call("identity", "GetClaim", request, token=self.token)
        self.seen += str(answer)
        claim: identity.DomainClaim = answer.claim
        return claim


@pytest.fixture
async def tenant(system: System, oidc: LocalIssuer, tmp_path: Path) -> Side:
    """The Owner of an organisation of his own, signed in with a second factor."""
    return await owner(system, oidc, tmp_path)


@pytest.fixture
def operator(system: System, tmp_path: Path) -> Side:
    """The platform's operator."""
    return Side(system, tmp_path)


async def owner(system: System, oidc: LocalIssuer, folder: Path) -> Side:
    """Somebody who signs in, is asked into a new organisation as its Owner, and signs in to it."""
    org, email = uuid4(), f"{uuid4().hex}@people-of-tests.com"
    made = orgs.CreateOrgRequest(org_id=str(org), legal_name="Of tests", slug=f"of-{org.hex}", request_id=f"org:{org}")
    await system.services.orgs.CreateOrg(made, timeout=CALL_TIMEOUT_S)
    token = await sign_in(system, oidc, email)
    invite = identity.CreateInvitationRequest(
        org_id=str(org), email=email, role=identity.MEMBER_ROLE_OWNER, request_id=f"invite:{org}"
    )
    invited = await system.services.identity.CreateInvitation(invite, timeout=CALL_TIMEOUT_S)
    accept = identity.AcceptInvitationRequest(token=invited.token, request_id=f"accept:{org}")
    await system.call("identity", "AcceptInvitation", accept, token=token)
    side = Side(system, folder, await sign_in(system, oidc, email, org), org)
    side.email = email
    return side


async def sign_in(
    system: System, oidc: LocalIssuer, email: str, org: UUID | None = None, amr: Sequence[str] = ("pwd", "otp")
) -> str:
    """A token of the person with that address, for an organisation or for none."""
    request = identity.ExchangeTokenRequest(id_token=id_token(system, oidc, email, amr), org_id=str(org or ""))
    return str((await system.call("identity", "ExchangeToken", request)).access_token)


def id_token(system: System, oidc: LocalIssuer, email: str, amr: Sequence[str] = ("pwd", "otp")) -> str:
    """What the issuer gives somebody who has just signed in there."""
    now, sub = system.stack.options.clock.now(), f"subject-of-{email}"
    return oidc.token(now=now, sub=sub, email=email, jti=uuid4().hex, amr=list(amr))


def publish(dns: LoopbackDns, signer: Signer) -> None:
    """Put a signer's key where verifiers look for it."""
    dns.set(f"{signer.selector}._domainkey.{signer.domain}", "TXT", [signer.record().decode()])


def signed(signer: Signer, address: str) -> bytes:
    """A message from the signer's domain to a claim's address."""
    return signer.sign(make_message(author=f"Ann <ann@{signer.domain}>", to=address))


async def mail(system: System, sender: str, address: str, message: bytes) -> tuple[int, str]:
    """What the gateway answers to a message that is sent as mail servers do, under TLS."""
    host, port = system.stack.state().smtp_address.split(":")
    trust = ssl.create_default_context(cafile=str(system.stack.layout.tls / "ca.pem"))

    def send() -> tuple[int, str]:
        with smtplib.SMTP(host, int(port), HELO, timeout=CALL_TIMEOUT_S) as client:
            client.starttls(context=trust)
            client.ehlo(HELO)
            for reply in (client.mail(sender), client.rcpt(address)):
                if reply[0] != 250:
                    return reply[0], reply[1].decode()
            code, text = client.data(message)
            return code, text.decode()

    return await asyncio.to_thread(send)


@pytest.mark.parametrize("algorithm", ["rsa-sha256", "ed25519-sha256"])
async def test_a_really_signed_mail_verifies_a_claim_end_to_end(
    system: System, dns: LoopbackDns, tenant: Side, algorithm: str
) -> None:
    signer = Signer(domain=f"by-{algorithm}.com", algorithm=algorithm)
    publish(dns, signer)
    claim_id, address = await tenant.claim(signer.domain.upper())
    assert (await tenant.status(claim_id)).status == identity.CLAIM_STATUS_PENDING
    message = signed(signer, address)

    # Any byte of the body changed on the way, and it proves nothing.
    code, text = await mail(system, f"ann@{signer.domain}", address, message.replace(b"\r\n\r\n", b"\r\n\r\nx", 1))
    assert (code, text.split()[0]) == (550, "5.7.1"), text
    assert (await tenant.status(claim_id)).status == identity.CLAIM_STATUS_PENDING

    first = await mail(system, f"ann@{signer.domain}", address, message)
    assert first[0] == 250, first
    assert "VERIFIED" in first[1]
    claim = await tenant.status(claim_id)
    assert claim.status == identity.CLAIM_STATUS_VERIFIED
    assert claim.HasField("verified_at")
    # A server that did not hear the answer sends the message again and gets the same one.
    assert await mail(system, f"ann@{signer.domain}", address, message) == first
    # The token is nowhere but in the message.
    token = address.partition("@")[0].removeprefix("claim-")
    assert token not in system.log("identity")
    assert token not in str(system.spans())


async def test_while_the_dns_fails_nothing_is_decided_and_the_same_mail_verifies_later(
    system: System, dns: LoopbackDns, tenant: Side
) -> None:
    signer = Signer(domain="troubled-dns.com", selector="later", algorithm="ed25519-sha256")
    name = f"{signer.selector}._domainkey.{signer.domain}"
    claim_id, address = await tenant.claim(signer.domain)
    message = signed(signer, address)
    for trouble in (dns.fail, dns.silence):
        trouble(name)
        code, text = await mail(system, f"ann@{signer.domain}", address, message)
        assert (code, "DNS_UNAVAILABLE" in text) == (451, True), text
        assert (await tenant.status(claim_id)).status == identity.CLAIM_STATUS_PENDING
        dns.heal(name)
    publish(dns, signer)
    code, text = await mail(system, f"ann@{signer.domain}", address, message)
    assert (code, "VERIFIED" in text) == (250, True), text
    assert (await tenant.status(claim_id)).status == identity.CLAIM_STATUS_VERIFIED


async def test_the_gateway_takes_mail_for_claims_only(system: System, tenant: Side) -> None:
    code, text = await mail(system, "ann@example.com", "somebody@elsewhere.example", b"")
    assert (code, "NO_RELAY" in text) == (550, True)
    code, text = await mail(system, "ann@example.com", f"claim-{'a' * 52}@claims.apportion.local", b"")
    assert (code, "NO_SUCH_CLAIM" in text) == (550, True)


async def test_a_conflict_is_walked_through_from_both_sides(
    system: System, dns: LoopbackDns, oidc: LocalIssuer, operator: Side, tmp_path: Path
) -> None:
    signer = Signer(domain="disputed-domain.com", algorithm="ed25519-sha256")
    publish(dns, signer)
    sender = f"ann@{signer.domain}"
    squatter, rightful = await owner(system, oidc, tmp_path), await owner(system, oidc, tmp_path)
    squatters, squatters_address = await squatter.claim(signer.domain)
    rightfuls, address = await rightful.claim(signer.domain)
    assert "pending conflict" in await rightful.run("claim", "list", "--org", str(rightful.org))

    # A claim that nothing proved blocks nobody: who proves the domain gets it.
    code, text = await mail(system, sender, address, signed(signer, address))
    assert (code, "VERIFIED" in text) == (250, True), text
    assert (await rightful.status(rightfuls)).status == identity.CLAIM_STATUS_VERIFIED
    assert "pending conflict" in await squatter.run("claim", "list", "--org", str(squatter.org))

    # Against a verified claim a good proof is kept, and an operator has to settle it.
    code, text = await mail(system, sender, squatters_address, signed(signer, squatters_address))
    assert (code, "DOMAIN_CONFLICT" in text) == (250, True), text
    assert (await squatter.status(squatters)).status == identity.CLAIM_STATUS_PENDING_CONFLICT
    listed = await operator.run("conflict", "list")
    blocks = [block for block in listed.split("\n\n") if signer.domain in block]
    found = [match for block in blocks for match in re.findall(r"^conflict +([0-9a-f-]{36})", block, re.MULTILINE)]
    assert len(found) == 1, listed
    for one, claim_id in ((squatter, squatters), (rightful, rightfuls)):
        assert str(one.org) in listed
        assert claim_id in listed

    # Tenants see nothing of it, and settle nothing.
    refused = await rightful.run("conflict", "resolve", found[0], "--winner", rightfuls, "--reason", "Mine.", code=1)
    assert "PERMISSION_DENIED" in refused
    await operator.run("conflict", "resolve", found[0], "--winner", squatters, "--reason", "Shown by the register.")
    assert (await squatter.status(squatters)).status == identity.CLAIM_STATUS_VERIFIED
    assert (await rightful.status(rightfuls)).status == identity.CLAIM_STATUS_REVOKED
    assert await refusal(
        system.services.identity.ResolveConflict(
            identity.ResolveConflictRequest(
                conflict_id=found[0], winner_claim_id=rightfuls, reason="Again.", request_id=f"again:{found[0]}"
            ),
            timeout=CALL_TIMEOUT_S,
        )
    ) == Refusal("FAILED_PRECONDITION", "CONFLICT_RESOLVED")
    for one, other, others_claim in ((squatter, rightful, rightfuls), (rightful, squatter, squatters)):
        assert str(other.org) not in one.seen
        assert others_claim not in one.seen.replace(f"--winner {others_claim}", "")


async def verified(system: System, dns: LoopbackDns, side: Side, domain: str) -> str:
    """The id of a claim that a mail has proved."""
    signer = Signer(domain=domain, algorithm="ed25519-sha256")
    publish(dns, signer)
    claim_id, address = await side.claim(domain)
    code, text = await mail(system, f"ann@{domain}", address, signed(signer, address))
    assert (code, "VERIFIED" in text) == (250, True), text
    return claim_id


async def test_names_below_a_domain_are_held_by_a_wildcard_and_given_to_a_subsidiary(
    system: System, dns: LoopbackDns, oidc: LocalIssuer, tmp_path: Path
) -> None:
    domain = "head-office.com"
    head, shop, rival = [await owner(system, oidc, tmp_path) for _ in range(3)]
    assert head.org is not None
    assert shop.org is not None
    below = orgs.AddChildRequest(
        parent_org_id=str(head.org), child_org_id=str(shop.org), request_id=f"below:{shop.org}"
    )
    await system.services.orgs.AddChild(below, timeout=CALL_TIMEOUT_S)
    claim_id = await verified(system, dns, head, domain)
    own = ("--org", str(head.org))

    by_password = Side(system, tmp_path, await sign_in(system, oidc, head.email, head.org, amr=("pwd",)), head.org)
    assert "SECOND_FACTOR_REQUIRED" in await by_password.run("claim", "wildcard", claim_id, *own, code=1)
    assert re.search(r"^wildcard +yes", await head.run("claim", "wildcard", claim_id, *own), re.MULTILINE)
    contested = await rival.run("claim", "create", f"www.{domain}", "--org", str(rival.org))
    assert "pending conflict" in contested
    assert "Another claim covers this name" in contested
    assert str(head.org) not in rival.seen

    delegate = ("claim", "delegate", claim_id, f"shop.{domain}", *own, "--to")
    # To who has no part in it, an organisation is as good as none.
    assert f"No organisation has the id {rival.org}" in await head.run(*delegate, str(rival.org), code=1)
    assert re.search(rf"^shop\.{domain} .*{shop.org}", await head.run(*delegate, str(shop.org)), re.MULTILINE)
    given, _ = await shop.claim(f"shop.{domain}")
    assert (await shop.status(given)).status == identity.CLAIM_STATUS_PENDING
    assert str(shop.org) not in await head.run(*delegate, str(shop.org), "--withdraw")
    assert "yes" not in await head.run("claim", "wildcard", claim_id, *own, "--off")


async def test_a_person_finds_that_there_is_a_company_asks_to_join_and_is_let_in(
    system: System, dns: LoopbackDns, oidc: LocalIssuer, operator: Side, tenant: Side, tmp_path: Path
) -> None:
    domain, own = "welcoming.com", ("--org", str(tenant.org))
    await verified(system, dns, tenant, domain)
    email = f"cy@{domain}"
    assert "A company may be found" in await operator.run("join", "suggest", email)
    assert "No company is suggested" in await operator.run("join", "suggest", "cy@elsewhere.com")
    person = Side(system, tmp_path, await sign_in(system, oidc, email))
    assert "is pending" in await person.run("join", "request")
    assert "JOIN_REQUEST_EXISTS" in await person.run("join", "request", code=1)
    waiting = re.search(
        rf"^([0-9a-f-]{{36}}) .*{email}", await tenant.run("join", "list", *own, "--pending"), re.MULTILINE
    )
    assert waiting is not None
    decide = ("join", "decide", waiting.group(1))
    assert f"{email} is approved" in await tenant.run(*decide, "approve", *own)
    assert "JOIN_REQUEST_DECIDED" in await tenant.run(*decide, "deny", *own, code=1)
    assert email not in await tenant.run("join", "list", *own, "--pending")
    assert email in await tenant.run("member", "list", *own)
    for unsaid in (str(tenant.org), tenant.email):
        assert unsaid not in person.seen


async def test_the_doctor_shows_what_a_mail_would_be_judged_on(
    system: System, dns: LoopbackDns, operator: Side
) -> None:
    signer = Signer(domain="well-kept.com", selector="selector1", algorithm="rsa-sha256")
    publish(dns, signer)
    dns.set("_dmarc.well-kept.com", "TXT", ["v=DMARC1; p=reject"])
    dns.set("well-kept.com", "TXT", ["v=spf1 -all"])
    text = await operator.run("claim", "doctor", "well-kept.com", "--selector", "selector1")
    assert "well-kept.com: it can be claimed." in text
    for part in ("selector1._domainkey.well-kept.com", "v=DMARC1; p=reject", "v=spf1 -all"):
        assert part in text
    assert "cannot be claimed: DOMAIN_PUBLIC_SUFFIX" in await operator.run("claim", "doctor", "co.uk")


async def test_a_service_account_comes_and_goes_by_the_command_line(operator: Side, tmp_path: Path) -> None:
    key = tmp_path / "key"
    name = f"robot-{uuid4().hex[:8]}"
    made = await operator.run("account", "create", name, "--role", "operator", "--save", str(key))
    assert key.read_text().strip() not in made
    account = re.search(r"^account +([0-9a-f-]{36})", made, re.MULTILINE)
    assert account is not None
    token = tmp_path / "robot.jwt"
    token.write_text(token_in(await operator.run("token", "issue", "--key-file", str(key))))
    robot = Side(operator.system, tmp_path, token.read_text())
    assert "invite_daily_limit" in await robot.run("setting", "get", "invite_daily_limit")
    await operator.run("account", "revoke", account.group(1), "--reason", "Its work is done.")
    assert "KEY_INVALID" in await operator.run("token", "issue", "--key-file", str(key), code=1)


async def test_a_setting_changed_at_run_time_acts_at_once(operator: Side, tenant: Side) -> None:
    invite: Sequence[str] = ("invite", "create", "--org", str(tenant.org))
    await operator.run("setting", "set", "invite_daily_limit", "0", "--reason", "A test of the brake.")
    try:
        assert "INVITE_DAILY_LIMIT" in await tenant.run(*invite, "bob@example.com", code=1)
    finally:
        # By the RPC: whatever happened to the command line, the other tests invite people too.
        back = identity.SetGlobalSettingRequest(
            key="invite_daily_limit", value="100", reason="The test is over.", request_id=f"back:{uuid4()}"
        )
        await operator.system.services.identity.SetGlobalSetting(back, timeout=CALL_TIMEOUT_S)


async def test_a_person_is_invited_joins_and_is_made_an_admin_by_the_command_line(
    system: System, oidc: LocalIssuer, tenant: Side, tmp_path: Path
) -> None:
    email, org = f"bob.{uuid4().hex[:8]}@people-of-tests.com", str(tenant.org)
    invitation = tmp_path / "invitation"
    await tenant.run("invite", "create", email, "--org", org, "--save", str(invitation))
    given = await Side(system, tmp_path).run("token", "exchange", secret=id_token(system, oidc, email))
    bob = Side(system, tmp_path, token_in(given))
    joined = await bob.run("invite", "accept", "--token-file", str(invitation))
    user = re.search(r"^user +([0-9a-f-]{36})", joined, re.MULTILINE)
    assert user is not None
    assert "is admin now" in await tenant.run("member", "role", user.group(1), "admin", "--org", org)
    assert "INVITATION_CONSUMED" in await bob.run("invite", "accept", "--token-file", str(invitation), code=1)
    assert email in await tenant.run("member", "list", "--org", org)


def token_in(text: str) -> str:
    """The token among what a command printed."""
    return next(line for line in text.splitlines() if line.startswith("ey"))
