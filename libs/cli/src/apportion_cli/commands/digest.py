"""`apportion digest`: one hash over the business content of all lines, and what differs from another ledger."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from apportion.ledger.v1 import ledger_service_pb2 as ledger
from apportion_client.digests import DIGEST_TIMEOUT_S, diff_digests, line_digests
from apportion_client.names import Names
from apportion_client.services import Services

from apportion_cli.display import money, number, print_line
from apportion_cli.labels import Labels
from apportion_cli.options import AccountOption, OrgOption, PrefixOption
from apportion_cli.run import fail, run

HASH_BYTES = 32
ID_BYTES = 16


def digest(
    save: Annotated[Path | None, typer.Option(help="Write the digest of every line to this NDJSON file.")] = None,
    diff: Annotated[
        Path | None, typer.Option(help="Compare with a file that was saved.", exists=True, dir_okay=False)
    ] = None,
    org: OrgOption = "",
    account: AccountOption = "",
    period: Annotated[str, typer.Option(help="Calendar month of the lines.")] = "",
    prefix: PrefixOption = "",
) -> None:
    """Show the ledger's digest; it is the same whatever the order and batches that lines came in.

    With --diff: name every line that differs; exit code 1 when one does.
    """
    kept = None if diff is None else list(_read(diff))

    async def main(services: Services) -> None:
        names = Names(services, prefix)
        scope = ledger.DigestScope(
            org_id=await names.org(org), billing_account_id=await names.account(account), period=period
        )
        await _digest(services, scope, save, kept)

    run(main)


async def _digest(
    services: Services, scope: ledger.DigestScope, save: Path | None, kept: list[ledger.LineDigest] | None
) -> None:
    answer = await services.ledger.GetDigest(ledger.GetDigestRequest(scope=scope), timeout=DIGEST_TIMEOUT_S)
    print_line(f"digest        {answer.digest}")
    print_line(f"gross digest  {answer.coarse_digest}  (whatever the order of acceptance)")
    print_line(
        f"lines         {answer.line_count:,} in {len(answer.gross):,} sums by organisation, SKU, month and currency"
    )
    if save is not None:
        await _save(services, scope, save)
    if kept is not None:
        await _diff(services, scope, kept)


async def _save(services: Services, scope: ledger.DigestScope, file: Path) -> None:
    count = 0
    with file.open("w", encoding="ascii") as stream:
        async for line in line_digests(services, scope):
            stream.write(f'{{"charge_id":"{line.charge_id.hex()}","content_hash":"{line.content_hash.hex()}"}}\n')
            count += 1
    print_line(f"The digests of {count:,} lines are in {file}.")


async def _diff(services: Services, scope: ledger.DigestScope, kept: list[ledger.LineDigest]) -> None:
    answer = await diff_digests(services, scope, kept)
    if not answer.difference_count:
        print_line(f"All {len(kept):,} lines are the same.", "green")
        return
    labels = Labels(services)
    lines = [difference.line for difference in answer.differences if difference.HasField("line")]
    await labels.learn(
        {line.org_id for line in lines},
        {line.billing_account_id for line in lines},
        {line.partner_id for line in lines if line.partner_id},
    )
    for difference in answer.differences:
        kind = ledger.DifferenceKind.Name(difference.kind).removeprefix("DIFFERENCE_KIND_").lower()
        line = f": {_line(difference.line, labels)}" if difference.HasField("line") else ""
        print_line(f"{kind:<9} {difference.charge_id}{line}", "red")
    fail(f"{answer.difference_count:,} lines differ.")


def _line(line: ledger.LedgerLine, labels: Labels) -> str:
    partner = f", {labels[line.partner_id]} {number(line.partner_pct)} %" if line.partner_id else ""
    return (
        f"{labels[line.org_id]} {line.sku} {number(line.quantity)} at {line.event_time.ToJsonString()} on "
        f"{labels[line.billing_account_id]}: {money(line.amount_gross)}{partner}"
    )


def _read(file: Path) -> Iterator[ledger.LineDigest]:
    with file.open(encoding="utf-8") as stream:
        for number_, text in enumerate(stream, 1):
            try:
                content = json.loads(text)
                charge_id, content_hash = bytes.fromhex(content["charge_id"]), bytes.fromhex(content["content_hash"])
            except (ValueError, KeyError, TypeError):
                charge_id = content_hash = b""
            if len(charge_id) != ID_BYTES or len(content_hash) != HASH_BYTES:
                fail(f"{file}, line {number_}, is no line digest that 'apportion digest --save' wrote.")
            yield ledger.LineDigest(charge_id=charge_id, content_hash=content_hash)
