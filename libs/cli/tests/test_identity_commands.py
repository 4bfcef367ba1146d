"""The commands that speak to identity: what they ask for, how secrets go in and out, and what the doctor says."""

from __future__ import annotations

import stat

import pytest
from apportion.identity.v1 import identity_service_pb2 as identity
from apportion_cli.commands import claim
from apportion_cli.display import when, word
from apportion_cli.main import app
from google.protobuf.timestamp_pb2 import Timestamp
from typer.testing import CliRunner

GROUPS = {
    "claim": ("create", "list", "show", "renew", "submit", "revoke", "wildcard", "delegate", "doctor"),
    "conflict": ("list", "resolve"),
    "invite": ("create", "accept", "revoke", "list"),
    "member": ("list", "role", "remove"),
    "join": ("suggest", "request", "list", "decide"),
    "setting": ("list", "get", "set"),
    "account": ("create", "list", "revoke"),
    "token": ("issue", "exchange"),
    "key": ("list", "rotate"),
}
SECRET = "apk_canary-of-a-secret"

runner = CliRunner()


class Identity:
    """Answers with what it is told to and keeps what it was asked."""

    def __init__(self, **answers: object) -> None:
        self.answers = answers
        self.asked: list[object] = []

    def __getattr__(self, method: str):
        async def call(request: object, timeout: float) -> object:
            self.asked.append(request)
            return self.answers[method]

        return call


@pytest.fixture(autouse=True)
def nowhere(tmp_path, monkeypatch):
    monkeypatch.setenv("APPORTION_LOCAL_DIR", str(tmp_path / "no-stack"))


@pytest.fixture
def served(monkeypatch):
    """Puts a stand-in for identity behind every command."""

    def put(**answers: object) -> Identity:
        stub = Identity(**answers)

        async def connected_main(main):
            return await main(type("Services", (), {"identity": stub})())

        import asyncio

        for name in GROUPS:
            module = __import__(f"apportion_cli.commands.{name}", fromlist=["run"])
            monkeypatch.setattr(module, "run", lambda main: asyncio.run(connected_main(main)))
        return stub

    return put


def test_every_command_of_every_group_explains_itself():
    for group, commands in GROUPS.items():
        for command in commands:
            result = runner.invoke(app, [group, command, "--help"])
            assert result.exit_code == 0, (group, command)


def test_a_claims_address_is_shown_once_or_saved_privately_instead(served, tmp_path):
    created = identity.CreateClaimResponse(
        claim=identity.DomainClaim(claim_id="c1", domain="example.com", status=identity.CLAIM_STATUS_PENDING),
        mail_to="claim-canary@claims.example.net",
    )
    stub = served(CreateClaim=created)
    shown = runner.invoke(app, ["claim", "create", "Example.COM", "--org", "AA"])
    assert shown.exit_code == 0, shown.output
    assert shown.output.count("claim-canary@claims.example.net") == 1
    assert "pending" in shown.output
    file = tmp_path / "address"
    saved = runner.invoke(app, ["claim", "create", "example.com", "--org", "AA", "--save", str(file)])
    assert "canary" not in saved.output
    assert file.read_text() == "claim-canary@claims.example.net\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    first, second = stub.asked
    assert first.domain == "Example.COM"
    assert first.org_id == second.org_id
    assert first.request_id != second.request_id


def test_a_key_comes_from_a_file_or_standard_input_and_never_from_an_argument(served, tmp_path):
    stub = served(IssueToken=identity.IssueTokenResponse(access_token="a.b.c"))
    file = tmp_path / "key"
    file.write_text(f"{SECRET}\n")
    by_file = runner.invoke(app, ["token", "issue", "--key-file", str(file)])
    by_input = runner.invoke(app, ["token", "issue"], input=f"{SECRET}\n")
    assert [request.key for request in stub.asked] == [SECRET, SECRET]
    assert by_file.stdout == by_input.stdout == "a.b.c\n"
    assert runner.invoke(app, ["token", "issue", SECRET]).exit_code == 2
    assert runner.invoke(app, ["token", "issue"], input="").exit_code == 1
    assert runner.invoke(app, ["token", "issue"], input="x" * 20_000).exit_code == 1


def test_without_a_command_token_still_signs_by_the_local_key(tmp_path):
    result = runner.invoke(app, ["token", "--role", "Admin"])
    assert result.exit_code == 1
    assert "apportion stack up" in result.output


def test_a_saved_message_gets_the_line_ends_that_were_signed_and_a_refusal_fails(served, tmp_path):
    refused = identity.SubmitVerificationEmailResponse(
        outcome=identity.VERIFICATION_OUTCOME_REFUSED, reason="NOT_ALIGNED", explanation="Sign with your own domain."
    )
    stub = served(SubmitVerificationEmail=refused)
    unix, wire = tmp_path / "unix.eml", tmp_path / "wire.eml"
    unix.write_bytes(b"From: a@b.example\n\nbody\n")
    wire.write_bytes(b"From: a@b.example\r\n\r\nbody \n bare\r\n")
    result = runner.invoke(app, ["claim", "submit", str(unix), "--mail-from", "<a@b.example>"])
    assert result.exit_code == 1
    assert "refused: NOT_ALIGNED" in result.output
    assert "Sign with your own domain." in result.output
    runner.invoke(app, ["claim", "submit", str(wire)])
    assert [request.message for request in stub.asked] == [b"From: a@b.example\r\n\r\nbody\r\n", wire.read_bytes()]
    assert stub.asked[0].mail_from == "a@b.example"


def test_the_doctor_shows_records_alignment_and_advice(capsys):
    claim._show_inspection(
        identity.InspectDomainResponse(
            domain="example.com",
            organizational_domain="example.com",
            claimable=True,
            records=[
                identity.RecordFinding(
                    name="s1._domainkey.example.com", kind="dkim", value="v=DKIM1; p=" + "A" * 300, state="good"
                ),
                identity.RecordFinding(
                    name="_dmarc.example.com", kind="dmarc", state="absent", advice="Publish a DMARC record."
                ),
            ],
            advice=["Publish a DMARC record."],
        )
    )
    shown = capsys.readouterr().out
    assert "example.com: it can be claimed." in shown
    assert "d=example.com" in shown
    assert "A" * 50 in shown
    assert "A" * 100 not in shown
    assert "dmarc _dmarc.example.com: Publish a DMARC record." in shown
    assert "1. Publish a DMARC record." in shown


def test_what_cannot_be_claimed_is_said_with_its_reason(capsys):
    claim._show_inspection(identity.InspectDomainResponse(domain="co.uk", reason="DOMAIN_PUBLIC_SUFFIX"))
    assert "co.uk: it cannot be claimed: DOMAIN_PUBLIC_SUFFIX." in capsys.readouterr().out


def test_words_and_times_are_readable():
    assert word("CLAIM_STATUS_PENDING_CONFLICT", "CLAIM_STATUS_") == "pending conflict"
    assert when(Timestamp()) == ""
    assert when(Timestamp(seconds=1_769_817_600)) == "2026-01-31T00:00:00Z"


def test_lists_are_read_to_their_end(served):
    class Pages(Identity):
        def __getattr__(self, method: str):
            async def call(request, timeout: float):
                self.asked.append(request.page_token)
                last = request.page_token == "2"
                return identity.ListMembersResponse(
                    members=[identity.Member(user_id=f"u{request.page_token}", email="a@b.example")],
                    next_page_token="" if last else "2",
                )

            return call

    stub = served()
    stub.__class__ = Pages
    result = runner.invoke(app, ["member", "list", "--org", "AA"])
    assert "2 members" in result.output
    assert "u2" in result.output
