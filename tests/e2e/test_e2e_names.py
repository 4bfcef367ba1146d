"""Names: what does not exist is an error in every command, and what does is found however it was made."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
import typer
from apportion.ledger.v1 import ledger_service_pb2 as ledger
from apportion.metering.v1 import metering_service_pb2 as metering
from apportion.orgs.v1 import orgs_service_pb2 as orgs
from apportion.pricing.v1 import pricing_service_pb2 as pricing
from apportion_cli.exit_codes import MISUSED, USAGE_REFUSED
from apportion_cli.main import app
from apportion_client.services import CALL_TIMEOUT_S
from google.protobuf.timestamp_pb2 import Timestamp
from harness import System, org_of
from typer.testing import CliRunner

NOBODY = "nobody-at-all"
NAMES = ("slug or id", "name or id", "names or ids")
"""How the help of an argument or option says that it is a name."""
WITHOUT_A_SERVICE = {"stack"}
SAMPLES: dict[str, list[str]] = {
    "period": ["2013-01"],
    "week": ["2013-W01"],
    "service": ["orgs"],
    "decision": ["approve"],
    "new_role": ["admin"],
    "domain": ["names-of-tests.com"],
    "email": ["somebody@names-of-tests.com"],
    "sku": ["ACT-NAMES"],
    "tier": ["gold"],
    "currency": ["AUD"],
    "name": ["anything"],
    "slug": ["anything"],
    "price": ["1"],
    "pct": ["10"],
    "mode": ["off"],
    "allocation": ["absorb"],
    "charge_model": ["per_unit"],
    "since": ["2013-01-01T00:00:00Z"],
}
"""What stands for an argument or option that has to be there; anything else is an id."""

KNOWN: dict[str, str] = {
    "org": "names-known",
    "to": "names-known",
    "below": "names-known",
    "owner": "names-known",
    "account": "names known",
    "plan": "names known",
    "partner": "names known",
}
"""What a name is that is not the one in question, by the parameter that asks for it."""

Leaf = tuple[tuple[str, ...], Any]


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[Leaf]:
    """Every command below one, with the words that call it."""
    for name, below in getattr(command, "commands", {}).items():
        if name not in WITHOUT_A_SERVICE:
            yield from leaves(below, (*path, name))
    # A group may do something by itself.
    if path and getattr(command, "invoke_without_command", True):
        yield path, command


def help_of(parameter: Any) -> str:
    return str(getattr(parameter, "help", "") or "").lower()


def named() -> list[tuple[str, ...]]:
    """Every command with a name, once for each of its names: its words, then the parameter's own."""
    return [
        (*path, str(parameter.name))
        for path, command in leaves(typer.main.get_command(app))
        for parameter in command.params
        if help_of(parameter).startswith(NAMES)
    ]


def arguments(path: tuple[str, ...], asked: str, name: str, folder: Path) -> list[str]:
    """The words of a command in which one parameter is a name, and the others are what they have to be."""
    (command,) = [found for words, found in leaves(typer.main.get_command(app)) if words == path]
    words: list[str] = []
    for parameter in command.params:
        if parameter.name == asked:
            value = name
        elif not parameter.required:
            continue
        elif help_of(parameter).startswith(NAMES):
            value = KNOWN[str(parameter.name)]
        else:
            value = SAMPLES.get(str(parameter.name), [str(uuid4())])[0]
        option = parameter.param_type_name == "option"
        words += [parameter.opts[0], value] if option else [value]
    # Read before anything is asked, where a command reads a secret.
    secret = folder / "secret"
    secret.write_text("secret\n")
    if any(parameter.name == "id_token_file" for parameter in command.params):
        words += ["--id-token-file", str(secret)]
    if any(parameter.name == "because" for parameter in command.params):
        words += [] if "--because" in words else ["--because", "a test"]
    return [*path, *words]


@pytest_asyncio.fixture(loop_scope="session")
async def shell(system: System, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shell]:
    await make_known(system)
    for name, value in system.environment.items():
        monkeypatch.setenv(name, value)
    yield Shell()


async def make_known(system: System) -> None:
    """Make what the other names of a command are; again changes nothing."""
    since, services = Timestamp(seconds=0), system.services
    org = orgs.CreateOrgRequest(
        org_id=str(org_of("names-known")), legal_name="Names known", slug="names-known", request_id="names:org"
    )
    await services.orgs.CreateOrg(org, timeout=CALL_TIMEOUT_S)
    account = orgs.CreateBillingAccountRequest(
        owner_org_id=org.org_id, name="names known", currency="AUD", request_id="names:account"
    )
    await services.orgs.CreateBillingAccount(account, timeout=CALL_TIMEOUT_S)
    plan = pricing.CreatePlanRequest(name="names known", currency="AUD", effective_at=since, request_id="names:plan")
    await services.pricing.CreatePlan(plan, timeout=CALL_TIMEOUT_S)
    partner = ledger.CreatePartnerRequest(
        name="names known", payout_currency="AUD", tier="gold", effective_at=since, request_id="names:partner"
    )
    await services.ledger.CreatePartner(partner, timeout=CALL_TIMEOUT_S)


class Shell:
    """Commands in this process, against the shared stack."""

    async def run(self, *words: str) -> tuple[int, str]:
        """Exit code and what was printed."""

        def invoke() -> tuple[int, str]:
            result = CliRunner().invoke(app, list(words), env=dict(os.environ))
            if result.exception is not None and not isinstance(result.exception, SystemExit):
                raise result.exception
            return result.exit_code, result.output

        with contextlib.redirect_stdout(io.StringIO()):
            return await asyncio.to_thread(invoke)


def test_every_kind_of_name_is_asked_for_somewhere() -> None:
    assert {asked for *_, asked in named()} >= {"org", "account", "partner"}
    assert len(named()) >= 25


@pytest.mark.parametrize("command", named(), ids=" ".join)
async def test_no_command_answers_nothing_for_a_name_that_nobody_has(
    shell: Shell, tmp_path: Path, command: tuple[str, ...]
) -> None:
    *path, asked = command
    code, said = await shell.run(*arguments(tuple(path), asked, NOBODY, tmp_path))
    assert code == 1, said
    assert f"is called {NOBODY}" in said
    if path[0] != "token":
        unknown = str(uuid4())
        code, said = await shell.run(*arguments(tuple(path), asked, unknown, tmp_path))
        assert code == 1, said
        assert f"has the id {unknown}" in said


async def test_rows_of_an_organisation_that_nobody_has_are_rejected_by_name(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "usage.csv"
    rows = [f"r{number},{org},ACT-SMS,1,2013-01-01T00:00:00Z" for number, org in enumerate((NOBODY, "", NOBODY))]
    file.write_text("\n".join(["request_id,org,sku,quantity,event_time", *rows]) + "\n")
    code, said = await shell.run("ingest", str(file), "--no-resume")
    assert code == USAGE_REFUSED
    assert "3 rejected" in said
    assert f"row 1: UNKNOWN_ORG: No organisation is called {NOBODY}" in said
    assert "row 2: ID_MALFORMED: The row names no organisation." in said


async def test_what_was_made_by_a_call_is_found_by_its_name(system: System, shell: Shell, tmp_path: Path) -> None:
    slug = f"made-{uuid4().hex[:8]}"
    made = await system.services.orgs.CreateOrg(
        orgs.CreateOrgRequest(legal_name="Made Ltd", slug=slug, request_id=slug), timeout=CALL_TIMEOUT_S
    )
    await system.services.ledger.CreatePartner(
        ledger.CreatePartnerRequest(
            name=f"Partner {slug}",
            payout_currency="AUD",
            tier="gold",
            effective_at=Timestamp(seconds=1),
            request_id=slug,
        ),
        timeout=CALL_TIMEOUT_S,
    )
    file = tmp_path / "usage.csv"
    file.write_text(f"request_id,org,sku,quantity,event_time\nr,{slug.upper()},ACT-SMS,1,2013-01-01T00:00:00Z\n")
    assert "1 accepted" in (await shell.run("ingest", str(file), "--ack", "committed"))[1]
    asked = metering.GetEventStatusRequest(org_id=made.org.org_id, request_ids=["r"])
    (status,) = (await system.services.metering.GetEventStatus(asked, timeout=CALL_TIMEOUT_S)).statuses
    assert status.event_id
    assert (await shell.run("lines", "--org", slug))[0] == 0
    assert (await shell.run("digest", "--org", slug.upper()))[0] == 0
    assert (await shell.run("statement", f"partner {slug}"))[0] == 0
    code, said = await shell.run("lines", "--org", slug[:-1])
    assert (code, f"did you mean {slug}?" in said) == (1, True)


async def test_what_a_command_sets_for_all_or_for_nobody_is_said(shell: Shell) -> None:
    code, said = await shell.run("engine", "set", "live")
    assert (code, "Say whose mode is meant" in said) == (MISUSED, True), said
    code, said = await shell.run("engine", "set", "live", "--all", "--reason", "As it is already.")
    assert (code, "every organisation without a mode of its own" in said) == (0, True), said

    tier = f"tier-{uuid4().hex[:8]}"
    code, said = await shell.run("rate", "set", tier, "5", "--from", "2013-01")
    assert (code, f"No partner has the tier {tier}" in said) == (0, True), said
    made = ("partner", "create", f"Partner of {tier}", "--currency", "AUD", "--from", "2013-01", "--tier")
    code, said = await shell.run(*made, tier)
    assert (code, "No rate is set" in said) == (0, False), said
    code, said = await shell.run("partner", "tier", f"Partner of {tier}", f"{tier}-b", "--from", "2013-02")
    assert (code, f"No rate is set for the tier {tier}-b" in said) == (0, True), said
