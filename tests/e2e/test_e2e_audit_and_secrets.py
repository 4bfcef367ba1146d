"""Every change that a scenario makes is in the audit of its service; nothing secret is in logs, spans or audit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from apportion.common.v1 import audit_pb2
from apportion.orgs.v1 import orgs_service_pb2 as orgs
from apportion_cli.scenario import Step
from apportion_client.services import CALL_TIMEOUT_S
from harness import FLIGHTS, System, org_of, refusal, rows_of

PREFIX = "audited-"
EMAIL = "canary.billing@example.org"
TAX_ID = "canary-tax-51824753556"
AUDITING = ("identity", "pricing", "metering", "ledger", "orgs")


async def audit_of(system: System, service: str) -> list[audit_pb2.AuditEntry]:
    """The whole audit of a service, newest first."""
    stub = getattr(system.services, service)
    module = __import__(f"apportion.{service}.v1.{service}_service_pb2", fromlist=["ListAuditRequest"])
    found: list[audit_pb2.AuditEntry] = []
    token = ""
    while True:
        query = audit_pb2.AuditQuery(page_size=1_000, page_token=token)
        answer = await stub.ListAudit(module.ListAuditRequest(query=query), timeout=CALL_TIMEOUT_S)
        found.extend(answer.entries)
        token = answer.next_page_token
        if not token:
            return found


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def applied(system: System) -> tuple[System, list[Step]]:
    """The shared stack, and the calls that a scenario made there, secrets in them."""

    def with_secrets(steps: list[Step]) -> list[Step]:
        for step in steps:
            if isinstance(step.request, orgs.CreateOrgRequest):
                step.request.billing_email = EMAIL
                step.request.tax_id = TAX_ID
        return steps

    steps = await system.apply(FLIGHTS, PREFIX, change=with_secrets)
    await system.ingest(rows_of(FLIGHTS, 200), prefix=PREFIX)
    await system.wait_drained()
    return system, steps


async def test_every_call_of_a_scenario_is_in_the_audit_of_its_service(applied: tuple[System, list[Step]]) -> None:
    system, steps = applied
    entries = {service: await audit_of(system, service) for service in AUDITING}
    for step in steps:
        mine = [entry for entry in entries[step.service] if entry.request_id == step.request.request_id]
        assert mine, f"{step.service}.{step.method} {step.label} has no audit entry"
        for entry in mine:
            assert entry.actor == "user:operator"
            assert entry.action
            assert "/" in entry.resource
            assert len(entry.trace_id) == 32
            assert entry.HasField("after")


async def test_an_audit_entry_leads_to_the_spans_of_its_call(applied: tuple[System, list[Step]]) -> None:
    system, steps = applied
    step = next(step for step in steps if step.method == "CreateOrg")
    entry = next(one for one in await audit_of(system, "orgs") if one.request_id == step.request.request_id)
    spans = await system.wait_spans(lambda spans: any(span["trace_id"] == entry.trace_id for span in spans))
    names = {span["name"] for span in spans if span["trace_id"] == entry.trace_id}
    assert "/apportion.orgs.v1.OrgsService/CreateOrg" in names


async def test_the_audit_cannot_be_changed_even_by_its_owner(applied: tuple[System, list[Step]]) -> None:
    system, _ = applied
    for service in ("pricing", "ledger", "orgs"):
        for text in ("UPDATE audit_entry SET actor = 'nobody'", "DELETE FROM audit_entry", "TRUNCATE audit_entry"):
            with pytest.raises(Exception, match=r"append-only|refuse|never|immutable|not be"):
                await system.query(service, text)


def secrets_of(system: System) -> dict[str, str]:
    """Everything that must not be written down, by what it is."""
    layout = system.stack.layout
    found = {"the billing address": EMAIL, "the tax id": TAX_ID}
    found |= {f"the token of {file.stem}": file.read_text().strip() for file in layout.tokens.glob("*.jwt")}
    kept: dict[str, Any] = json.loads(layout.passwords_file.read_text())
    for user, password in kept["nats"].items():
        found[f"the NATS password of {user}"] = password
    for service, roles in kept["roles"].items():
        for role, password in roles.items():
            found[f"the database password of {service}'s {role}"] = password
    return found


async def test_no_secret_is_in_logs_or_spans(applied: tuple[System, list[Step]]) -> None:
    system, _ = applied
    mine = system.token(org_id=org_of("UA", PREFIX))
    theirs = system.token(org_id=org_of("AA", PREFIX), age_s=3_600)
    request = orgs.GetOrgRequest(org_id=str(org_of("DL", PREFIX)))
    for token in (mine, theirs, "canary-garbage-token"):
        await refusal(system.call("orgs", "GetOrg", request, token=token))
    bad = orgs.CreateOrgRequest(
        org_id="canary", legal_name="Canary", slug="canary", billing_email="canary.refused@", request_id="canary"
    )
    await refusal(system.services.orgs.CreateOrg(bad, timeout=CALL_TIMEOUT_S))
    metrics = "".join([str(await system.metrics(service)) for service in AUDITING])
    await system.wait_spans(lambda spans: sum(span["name"].endswith("/GetOrg") for span in spans) >= 3)
    secrets = secrets_of(system) | {
        "a user's token": mine,
        "an expired token": theirs,
        "a garbage token": "canary-garbage-token",
        "a refused address": "canary.refused@",
    }
    files = [*system.stack.layout.logs.glob("*.log"), *system.stack.layout.traces.glob("*.jsonl")]
    texts = {file.name: file.read_text(errors="replace") for file in files} | {"metrics": metrics}
    assert {"metering.log", "orgs.log", "metering.jsonl", "orgs.jsonl", "postgres.log", "nats.log"} <= texts.keys()
    assert "CreateOrg" in texts["orgs.log"]
    found = [(what, name) for what, secret in secrets.items() for name, text in texts.items() if secret in text]
    assert found == []


async def test_no_secret_is_in_the_audit(applied: tuple[System, list[Step]]) -> None:
    system, _ = applied
    for service in AUDITING:
        rows = str(await system.query(service, "SELECT before::text, after::text, resource, actor FROM audit_entry"))
        assert EMAIL not in rows, service
        assert TAX_ID not in rows, service


async def test_the_organisation_itself_keeps_its_billing_address(applied: tuple[System, list[Step]]) -> None:
    system, _ = applied
    request = orgs.GetOrgRequest(org_id=str(org_of("UA", PREFIX)))
    assert (await system.services.orgs.GetOrg(request, timeout=CALL_TIMEOUT_S)).org.billing_email == EMAIL


def test_private_files_are_private(applied: tuple[System, list[Step]]) -> None:
    system, _ = applied
    layout = system.stack.layout
    private: list[Path] = [layout.secrets, layout.tls, layout.tokens, layout.traces]
    private += [layout.passwords_file, layout.signing_key_file, *layout.tokens.glob("*.jwt")]
    assert [file for file in private if file.stat().st_mode & 0o077] == []
