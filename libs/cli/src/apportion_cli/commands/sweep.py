"""`apportion sweep`: pay the partners' balances of a week out."""

from __future__ import annotations

from typing import Annotated

import typer
from apportion.ledger.v1 import ledger_service_pb2 as ledger
from apportion_client.failures import retry_until_available
from apportion_client.services import CALL_TIMEOUT_S, Services
from apportion_common.ids import uuid7

from apportion_cli.display import money_figure, show_table
from apportion_cli.labels import Labels
from apportion_cli.options import IdsOption
from apportion_cli.run import errors, run


def sweep(
    week: Annotated[list[str], typer.Argument(help="ISO 8601 weeks in their order, such as 2013-W01.")],
    ids: IdsOption = False,
) -> None:
    """Pay each partner its balance as of a week's end, week by week. Again: pays nothing more."""
    run(lambda services: _sweeps(services, week, Labels(services, ids=ids)))


async def _sweeps(services: Services, weeks: list[str], labels: Labels) -> None:
    for week in weeks:
        await _sweep(services, week, labels)


async def _sweep(services: Services, week: str, labels: Labels) -> None:
    request = ledger.RunSweepRequest(week=week, request_id=f"sweep:{uuid7()}")
    answer = await retry_until_available(
        lambda: services.ledger.RunSweep(request, timeout=CALL_TIMEOUT_S), errors.print
    )
    await labels.learn(partner_ids=[result.partner_id for result in answer.results])
    rows = [
        (
            labels[result.partner_id],
            result.currency,
            money_figure(result.balance),
            money_figure(result.paid),
            result.carried_reason,
        )
        for result in sorted(answer.results, key=lambda result: (labels[result.partner_id], result.currency))
    ]
    show_table(f"Sweep of {week}", ("partner", "currency", ">balance", ">paid", "carried"), rows)
