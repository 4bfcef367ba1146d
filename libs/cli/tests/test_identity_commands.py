"""The commands that speak to identity: what they ask for, how secrets go in and out, and what the doctor says."""

from __future__ import annotations

import stat
from datetime import timedelta

import grpc
import pytest
from apportion.identity.v1 import identity_service_pb2 as identity
from apportion.orgs.v1 import orgs_service_pb2 as orgs
from apportion_cli.commands import claim
from apportion_cli.commands.audit import changes
from apportion_cli.display import counted, when, word
from apportion_cli.main import app
from apportion_client import naming
from apportion_client.failures import describe
from google.protobuf import any_pb2
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2, status_pb2
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


class Orgs:
    """Knows every organisation that it is asked about."""

    async def LookupOrgs(self, request: orgs.LookupOrgsRequest, timeout: float) -> orgs.LookupOrgsResponse:  # noqa: N802
        matches = [
            orgs.OrgMatch(name=name, org=orgs.OrgName(org_id=str(naming.org_id(name)), slug=name.lower()))
            for name in request.names
        ]
        return orgs.LookupOrgsResponse(matches=matches)


@pytest.fixture(autouse=True)
def nowhere(tmp_path, monkeypatch):
    monkeypatch.setenv("APPORTION_LOCAL_DIR", str(tmp_path / "no-stack"))


@pytest.fixture
def served(monkeypatch):
    """Puts a stand-in for identity behind every command."""

    def put(**answers: object) -> Identity:
        stub = Identity(**answers)

        async def connected_main(main):
            return await main(type("Services", (), {"identity": stub, "orgs": Orgs()})())

        import asyncio

        for name in (*GROUPS, "audit"):
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


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read: No such file"),
        (b" \n", "is empty: it should hold the service account key"),
        (b"x" * 20_000, "holds no service account key"),
        (b"\xff\xfe\x00", "holds no service account key"),
    ],
)
def test_a_file_that_holds_no_secret_is_named_and_nothing_is_asked(served, tmp_path, content, words):
    stub = served()
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
        by_input = runner.invoke(app, ["token", "issue"], input=content)
        assert (by_input.exit_code, by_input.output) == (1, f"Standard input {words}.\n")
    by_file = runner.invoke(app, ["token", "issue", "--key-file", str(file)])
    assert by_file.exit_code == 1
    assert f"{file} {words}" in by_file.output
    assert stub.asked == []


def test_a_place_that_nothing_can_be_saved_at_is_refused_before_a_secret_is_made(served, tmp_path):
    stub = served(CreateClaim=identity.CreateClaimResponse())
    for place in (tmp_path, tmp_path / "nowhere" / "address"):
        assert runner.invoke(app, ["claim", "create", "acme.com", "--org", "AA", "--save", str(place)]).exit_code == 2
    assert stub.asked == []


def test_without_a_command_token_still_signs_by_the_local_key(tmp_path):
    result = runner.invoke(app, ["token", "--role", "Admin"])
    assert result.exit_code == 1
    assert "apportion stack up" in result.output


def test_a_saved_message_gets_the_line_ends_that_were_signed_and_a_refusal_fails(served, tmp_path):
    refused = identity.SubmitVerificationEmailResponse(
        outcome=identity.VERIFICATION_OUTCOME_REJECTED, reason="NOT_ALIGNED", explanation="Sign with your own domain."
    )
    stub = served(SubmitVerificationEmail=refused)
    unix, wire = tmp_path / "unix.eml", tmp_path / "wire.eml"
    unix.write_bytes(b"From: a@b.example\n\nbody\n")
    wire.write_bytes(b"From: a@b.example\r\n\r\nbody \n bare\r\n")
    result = runner.invoke(app, ["claim", "submit", str(unix), "--mail-from", "<a@b.example>"])
    assert result.exit_code == 1
    assert "rejected: NOT_ALIGNED" in result.output
    assert "Sign with your own domain." in result.output
    runner.invoke(app, ["claim", "submit", str(wire)])
    assert [request.message for request in stub.asked] == [b"From: a@b.example\r\n\r\nbody\r\n", wire.read_bytes()]
    assert stub.asked[0].mail_from == "a@b.example"


@pytest.mark.parametrize(
    ("header", "sender"),
    [
        (b"Return-Path: <bounce@b.example>\nFrom: Ann <a@b.example>\n", "bounce@b.example"),
        (b"Return-Path: <>\nFrom: a@b.example\n", ""),
        (b"From: Ann <a@b.example>\n", "a@b.example"),
        (b"Subject: none\n", ""),
    ],
)
def test_a_saved_messages_sender_is_its_return_path_or_its_author(served, tmp_path, header, sender):
    stub = served(SubmitVerificationEmail=identity.SubmitVerificationEmailResponse(reason="VERIFIED"))
    (tmp_path / "message").write_bytes(header + b"\nbody\n")
    assert runner.invoke(app, ["claim", "submit", str(tmp_path / "message")]).exit_code == 0
    assert stub.asked[0].mail_from == sender
    missing = runner.invoke(app, ["claim", "submit", str(tmp_path / "nothing")])
    assert missing.exit_code == 1
    assert "nothing cannot be read: No such file" in missing.output


def test_a_claim_in_conflict_says_whether_there_is_something_to_do(served):
    contested = identity.DomainClaim(claim_id="c1", domain="acme.com", status=identity.CLAIM_STATUS_PENDING_CONFLICT)
    served(GetClaim=identity.GetClaimResponse(claim=contested))
    assert "Its proof is kept." in runner.invoke(app, ["claim", "show", "c1", "--org", "AA"]).output
    contested.token_expires_at.FromSeconds(1)
    served(GetClaim=identity.GetClaimResponse(claim=contested))
    assert "Prove it all the same" in runner.invoke(app, ["claim", "show", "c1", "--org", "AA"]).output


def test_both_sides_of_a_conflict_are_shown_with_their_organisations_and_ids(served):
    sides = [identity.DomainClaim(claim_id=f"c{n}", domain="acme.com", org_id=f"org {n}") for n in (1, 2)]
    conflict = identity.ClaimConflict(conflict_id="k", claim=sides[0], against=sides[1], claim_proved=True)
    served(ResolveConflict=identity.ResolveConflictResponse(conflict=conflict))
    shown = runner.invoke(app, ["conflict", "resolve", "k", "--winner", "c1", "--reason", "Theirs."]).output
    newcomer, against = (line for line in shown.splitlines() if "acme.com" in line)
    assert newcomer.endswith(", proved; claim c1 of org 1")
    assert against.endswith(", not proved; claim c2 of org 2")


def test_conflicts_are_sorted_out_by_proof_and_name(served):
    def conflict(name: str, domain: str, proved: bool) -> identity.ClaimConflict:
        side = identity.DomainClaim(domain=domain)
        return identity.ClaimConflict(
            conflict_id=name, claim=side, against=side, claim_proved=proved, against_proved=True
        )

    all_three = [conflict("k1", "acme.com", False), conflict("k2", "acme.com", True), conflict("k3", "other.com", True)]
    served(ListConflicts=identity.ListConflictsResponse(conflicts=all_three))

    def listed(*options: str) -> list[str]:
        shown = runner.invoke(app, ["conflict", "list", *options]).output
        return [line.split()[1] for line in shown.splitlines() if line.startswith("conflict ")]

    assert listed() == ["k1", "k2", "k3"]
    assert listed("--proved") == ["k2", "k3"]
    assert listed("--domain", "Acme.com", "--proved") == ["k2"]


def test_an_audit_is_read_up_to_its_limit_and_shows_what_was_changed(served):
    class Pages(Identity):
        def __getattr__(self, method: str):
            async def call(request, timeout: float):
                self.asked.append(request.query.page_size)
                entries = [{"action": "claim.move", "resource": f"claim/{n}", "actor": "user:ann"} for n in range(2)]
                return identity.ListAuditResponse(entries=entries, next_page_token="more")

            return call

    stub = served()
    stub.__class__ = Pages
    result = runner.invoke(app, ["audit", "identity", "--limit", "4"])
    assert stub.asked == [4, 2]
    assert "4 changes in identity" in result.output
    assert "claim.move  claim/1  by user:ann" in result.output


def test_a_change_is_shown_from_what_to_what():
    entry = identity.ListAuditResponse(entries=[{}]).entries[0]
    entry.before.update({"status": "pending", "domain": "acme.com", "proved_at": None, "count": 1, "gone": "x"})
    entry.after.update({"status": "verified", "domain": "acme.com", "proved_at": "now", "count": 2})
    assert changes(entry) == [
        "count: 1 → 2",
        "gone: x → nothing",
        "proved_at: now",
        "status: pending → verified",
    ]


def test_times_and_numbers_of_a_change_are_shown_as_the_contract_writes_them():
    entry = identity.ListAuditResponse(entries=[{}]).entries[0]
    entry.before.update({"revision": 22, "notes": "", "live": False})
    entry.after.update(
        {
            "revision": 23,
            "notes": "",
            "live": True,
            "effective_at_us": 1740787200000000,
            "percent": {"value": "60.5"},
            "rows": [{"start_at_us": 1740787200000001}, {"revision": 23}],
        }
    )
    assert changes(entry) == [
        "effective_at: 2025-03-01T00:00:00Z",
        "live: no → yes",
        "percent: 60.5",
        "revision: 22 → 23",
        "rows: [{start_at: 2025-03-01T00:00:00.000001Z}, {revision: 23}]",
    ]


def refused(message: str, *details: object) -> grpc.aio.AioRpcError:
    """A refusal as a service sends it."""
    status = status_pb2.Status(code=grpc.StatusCode.INVALID_ARGUMENT.value[0], message=message)
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    trailing = grpc.aio.Metadata(("grpc-status-details-bin", status.SerializeToString()))
    return grpc.aio.AioRpcError(grpc.StatusCode.INVALID_ARGUMENT, grpc.aio.Metadata(), trailing, message)


def test_a_field_is_named_only_where_that_says_more_than_the_message():
    def violation(text: str) -> error_details_pb2.BadRequest:
        return error_details_pb2.BadRequest(field_violations=[{"field": "domain", "description": text}])

    assert describe(refused("No name.", violation("No name."))) == "INVALID_ARGUMENT : No name."
    assert describe(refused("See the details.", violation("Too long."))).endswith("\n  domain: Too long.")


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.5, "0.5 s"), (120, "120 s"), (121, "3 min"), (7_200, "2 h"), (26_053, "7 h 15 min")]
)
def test_a_time_to_wait_is_readable(seconds, words):
    pause = error_details_pb2.RetryInfo()
    pause.retry_delay.FromTimedelta(timedelta(seconds=seconds))
    assert describe(refused("Later.", pause)).endswith(f"\n  try again in {words}")


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
                    name="_dmarc.example.com", kind="dmarc", state="absent", advice="There is no DMARC record."
                ),
                identity.RecordFinding(
                    name="example.com", kind="spf", state="broken", advice="Publish one SPF record."
                ),
            ],
            advice=["Publish one SPF record."],
        )
    )
    shown = capsys.readouterr().out
    assert "example.com: it can be claimed." in shown
    assert "d=example.com" in shown
    assert "A" * 50 in shown
    assert "A" * 100 not in shown
    assert "dmarc _dmarc.example.com: There is no DMARC record." in shown
    assert "1. Publish one SPF record." in shown
    assert shown.count("Publish one SPF record.") == 1


def test_what_cannot_be_claimed_is_said_with_its_reason(capsys):
    record = identity.RecordFinding(name="co.uk", kind="mx", state="absent", advice="There is no MX record.")
    claim._show_inspection(
        identity.InspectDomainResponse(domain="co.uk", reason="DOMAIN_PUBLIC_SUFFIX", records=[record])
    )
    shown = capsys.readouterr().out
    assert "co.uk: it cannot be claimed: DOMAIN_PUBLIC_SUFFIX." in shown
    assert "A mail proves it" not in shown
    assert "There is no MX record." not in shown


def test_words_and_times_are_readable():
    assert word("CLAIM_STATUS_PENDING_CONFLICT", "CLAIM_STATUS_") == "pending conflict"
    assert when(Timestamp()) == ""
    assert when(Timestamp(seconds=1_769_817_600, nanos=999_999_999)) == "2026-01-31T00:00:00Z"
    assert [counted(count, "claim") for count in (0, 1, 2)] == ["0 claims", "1 claim", "2 claims"]


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
