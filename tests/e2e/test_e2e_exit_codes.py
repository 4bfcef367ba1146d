"""A command's exit code says whether all of what was asked was done, and its last lines say what was not."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest_asyncio
from apportion.orgs.v1 import orgs_service_pb2 as orgs
from apportion_cli.exit_codes import DONE, MISUSED, NOT_DONE, USAGE_REFUSED
from apportion_client.services import CALL_TIMEOUT_S
from apportion_dev.stack.environment import machine_environment
from harness import FIRST_EVENTS, FLIGHTS, ROOT, System, org_of, rows_of

APPORTION = Path(sys.executable).parent / "apportion"
PREFIX = "codes-"
HEADER = "request_id,org,project,sku,quantity,event_time\n"
GOOD = "g1,AA,,ACT-DEPARTURE,1,2013-01-05T00:00:00Z\n"


class Shell:
    """Runs commands against a stack."""

    def __init__(self, system: System, folder: Path) -> None:
        self.environment = machine_environment() | system.environment
        self.folder = folder

    async def __call__(self, *words: str) -> tuple[int, str]:
        """Exit code and everything that the command said."""
        process = await asyncio.create_subprocess_exec(
            APPORTION,
            *words,
            cwd=self.folder,
            env=self.environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(120):
            said, _ = await process.communicate()
        return process.returncode or 0, said.decode()

    def write(self, name: str, text: str) -> str:
        """Write a file, and return its path."""
        (self.folder / name).write_text(text, encoding="utf-8")
        return str(self.folder / name)

    def read(self, name: str) -> str:
        """Return what a file holds."""
        return (self.folder / name).read_text(encoding="utf-8")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def applied(system: System) -> AsyncIterator[System]:
    """The shared stack, with the scenario of the flights under this file's prefix."""
    await system.apply(FLIGHTS, PREFIX)
    yield system


@pytest_asyncio.fixture(loop_scope="session")
async def apportion(applied: System, tmp_path: Path) -> Shell:
    """The command against the shared stack, in a folder of the test's own."""
    return Shell(applied, tmp_path)


async def test_usage_that_was_refused_is_told_by_the_exit_code_and_can_be_mended_and_sent(apportion: Shell) -> None:
    usage = apportion.write(
        "usage.csv",
        HEADER
        + 'r1,AA,,ACT-DEPARTURE,"1,5",2013-01-01T00:00:00Z\n'
        + "r2,AA,,ACT-DEPARTURE,1,01/02/2013\n"
        + "r3,,,ACT-DEPARTURE,1,2013-01-02T00:00:00Z\n"
        + "r4,AA,,act,1,2013-01-02T00:00:00Z\n"
        + GOOD,
    )
    code, said = await apportion("ingest", usage, "--prefix", PREFIX, "--rejected", "rejected.csv")
    assert (code, "1 enqueued, 4 rejected" in said) == (USAGE_REFUSED, True), said
    rejected = list(csv.DictReader(io.StringIO(apportion.read("rejected.csv"))))
    assert [(row["row"], row["request_id"], row["quantity"]) for row in rejected] == [
        ("1", "r1", "1,5"),
        ("2", "r2", "1"),
        ("3", "r3", "1"),
        ("4", "r4", "1"),
    ]
    assert [row["reason"] for row in rejected] == [
        "QUANTITY_MALFORMED",
        "TIME_MALFORMED",
        "ID_MALFORMED",
        "SKU_MALFORMED",
    ]
    mended = apportion.read("rejected.csv")
    for wrong, right in (('"1,5"', "1.5"), (",01/02/2013,", ",2013-02-01T00:00:00Z,"), ("r3,,", "r3,AA,")):
        mended = mended.replace(wrong, right)
    mended = mended.replace(",act,", ",ACT-DEPARTURE,")
    code, said = await apportion("ingest", apportion.write("mended.csv", mended), "--prefix", PREFIX)
    assert (code, "4 enqueued, 0 rejected" in said) == (DONE, True), said


async def test_a_file_that_was_sent_before_is_not_called_accepted_again(apportion: Shell) -> None:
    usage = apportion.write("again.csv", HEADER + GOOD.replace("g1", "again"))
    await apportion("ingest", usage, "--prefix", PREFIX)
    code, said = await apportion("ingest", usage, "--prefix", PREFIX)
    assert (code, "This file was sent before" in said, "accepted" in said) == (DONE, True, False), said
    code, said = await apportion("ingest", usage, "--prefix", PREFIX, "--ack", "committed")
    assert (code, "0 accepted, 1 duplicate, 0 rejected" in said) == (DONE, True), said


async def test_usage_with_other_content_or_dead_lettered_is_told_by_the_exit_code(
    apportion: Shell, applied: System
) -> None:
    first = apportion.write("first.csv", HEADER + GOOD.replace("g1", "other"))
    assert (await apportion("ingest", first, "--prefix", PREFIX, "--ack", "committed"))[0] == DONE
    for name, row, told in (
        ("other.csv", GOOD.replace("g1", "other").replace(",1,", ",2,"), "1 with other content than before"),
        ("future.csv", GOOD.replace("g1", "future").replace("2013", "2099"), "1 dead-lettered"),
    ):
        usage = apportion.write(name, HEADER + row)
        code, said = await apportion("ingest", usage, "--prefix", PREFIX, "--ack", "committed")
        assert (code, told in said) == (USAGE_REFUSED, True), said
    await applied.wait_drained()
    code, said = await apportion("status", "--wait", "30")
    assert (code, "open: usage that is not charged" in said) == (USAGE_REFUSED, True), said
    code, said = await apportion("status", "--wait", "30", "--allow-dead-letters")
    assert code == DONE, said


async def test_the_file_that_is_sent_is_never_written_over_by_its_rejected_rows(apportion: Shell) -> None:
    usage = apportion.write("usage.csv", HEADER + GOOD)
    code, said = await apportion("ingest", usage, "--prefix", PREFIX, "--rejected", usage)
    assert (code, "is the file that is to be sent" in said) == (NOT_DONE, True), said
    assert apportion.read("usage.csv") == HEADER + GOOD


async def test_a_command_over_many_things_goes_on_at_one_that_cannot_be_done_and_names_it(
    new_system: Callable[[], Awaitable[System]], tmp_path: Path
) -> None:
    system = await new_system()
    apportion = Shell(system, tmp_path)
    await system.apply(FLIGHTS)
    await system.ingest(rows_of(FLIGHTS, FIRST_EVENTS))
    await system.wait_drained()

    code, said = await apportion("invoice", "2013-01", "--finalize")
    assert code == NOT_DONE, said
    # An organisation has an account of its own by the same name, on which nothing is billed here.
    assert re.search(r"^account united \([0-9a-f-]{36}\) is not finalised: FAILED_PRECONDITION PERIOD_OPEN", said, re.M)
    assert "nothing to bill: " in said
    closing = [word for org in ("UA", "VX", "AS", "B6") for word in ("--org", org)]
    code, said = await apportion("close", "2013-01", *closing)
    assert (code, "2013-01 is closed for UA, VX, AS, B6." in said) == (DONE, True), said
    code, said = await apportion("invoice", "2013-01", "--finalize")
    assert code == NOT_DONE, said
    assert {"united", "virgin", "alaska", "jetblue"} <= {
        line.split()[0] for line in said.splitlines() if " final " in line
    }
    assert re.search(r"^account southwest .* is not finalised: FAILED_PRECONDITION PERIOD_OPEN", said, re.M)
    assert re.search(r"accounts finalised, \d+ with nothing to do, \d+ not finalised\.", said), said

    empty = await system.services.orgs.ListInvoices(orgs.ListInvoicesRequest(), timeout=CALL_TIMEOUT_S)
    final = [one for one in empty.invoices if one.state == orgs.INVOICE_STATE_FINAL]
    assert final
    for head in final:
        request = orgs.GetInvoiceRequest(invoice_id=head.invoice_id)
        assert (await system.services.orgs.GetInvoice(request, timeout=CALL_TIMEOUT_S)).invoice.lines

    code, said = await apportion("statement", "northwind", "nobody", "summit")
    assert code == NOT_DONE, said
    assert {"Northwind", "Summit"} <= {line.split()[0] for line in said.splitlines() if "AUD" in line}
    assert "partner nobody is not shown: No partner is called nobody" in said

    assert (await apportion("sweep", "2013-W01"))[0] == DONE
    code, said = await apportion("sweep", "2013-W01", "2013-W02")
    assert (code, "which was swept before: what was paid is not paid again" in said) == (DONE, True), said

    unknown = "01a22e42-fea1-7454-b7f2-723dd48494bc"
    code, said = await apportion("dead-letters", "requeue", "--id", unknown)
    assert (code, f"dead letter {unknown} is not requeued" in said) == (NOT_DONE, True), said
    code, said = await apportion("dead-letters", "discard", "--because", "a slip")
    assert (code, "--all" in said) == (MISUSED, True), said


async def test_a_scenario_beside_another_is_applied_whole_and_one_that_ended_half_way_goes_on_when_it_was_mended(
    apportion: Shell, applied: System
) -> None:
    example = json.loads((ROOT / "examples" / "own-product" / "scenario.json").read_text(encoding="utf-8"))
    # A plan without a name is one of its content's own.
    del example["plan"]["name"]
    first = apportion.write("first.json", json.dumps(example))
    code, said = await apportion("apply", first, "--prefix", "codes-one-")
    assert code == DONE, said

    # Other prices, other mappings, another partner under a code that the platform knows already.
    other = json.loads(json.dumps(example).replace("acme", "bolt"))
    other["plan"]["skus"]["ACT-SMS"]["overage_price"] = "0.05"
    other["mappings"]["bolt-shop"]["allocation"] = "chargeback"
    other["partners"]["nova"]["name"] = "Another Nova"
    code, said = await apportion("apply", apportion.write("second.json", json.dumps(other)), "--prefix", "codes-one-")
    assert code == NOT_DONE, said
    assert re.search(r"Step \d+ of 16, partner nova, was refused: ALREADY_EXISTS", said), said
    mended = json.dumps(other).replace('"nova"', '"codes-super"').replace(":nova", ":codes-super")
    for _ in range(2):
        code, said = await apportion("apply", apportion.write("second.json", mended), "--prefix", "codes-one-")
        assert (code, "16 calls applied" in said) == (DONE, True), said
    for code_of_org in ("bolt", "bolt-shop", "bolt-club", "acme"):
        request = orgs.GetOrgRequest(org_id=str(org_of(code_of_org, "codes-one-")))
        answer = await applied.services.orgs.GetOrg(request, timeout=CALL_TIMEOUT_S)
        assert answer.org.legal_name == f"codes-one-{code_of_org}"


async def test_a_scenario_with_a_fault_at_its_end_sends_nothing(apportion: Shell, applied: System) -> None:
    wrong = json.loads((ROOT / "examples" / "own-product" / "scenario.json").read_text(encoding="utf-8"))
    wrong["partners_of_record"][0]["partner"] = "novva"
    before = await applied.table_counts()
    code, said = await apportion("apply", apportion.write("wrong.json", json.dumps(wrong, indent=1)), "--prefix", "w-")
    assert (code, 'The file has no partner "novva".' in said) == (NOT_DONE, True), said
    assert await applied.table_counts() == before
