"""`apportion-migrate preflight`: what blocks the revisions still to come, as a table or as JSON lines."""

from __future__ import annotations

import typer
from rich.markup import escape
from rich.table import Table

from apportion_migrate.command.exits import EXIT_CONFLICTS
from apportion_migrate.command.output import JsonOption, Output, ServicesOption, failing_well, the_plan
from apportion_migrate.preflight import Finding, Report, preflight

IDS_IN_TABLE_MAX = 3
ID_WIDTH = 36
"""Characters of a UUID."""

app = typer.Typer()


@app.command(name="preflight")
def preflight_command(services: ServicesOption = None, as_json: JsonOption = False) -> None:
    """Ask what rows block what is still to be applied; changes nothing. Ends with 3 when there are any."""
    output = Output(as_json=as_json)
    with failing_well(output):
        report = preflight(the_plan(services))
    if output.as_json:
        _as_json(output, report)
    else:
        _as_table(output, report)
    if not report.clear:
        raise typer.Exit(EXIT_CONFLICTS)


def conflicts_table(findings: tuple[Finding, ...]) -> Table:
    """Return the conflicting groups of findings, for a person."""
    table = Table("service", "check", show_lines=True)
    # An id that is cut is of no use.
    for title, least in (("group", 1), ("rows", 1), ("ids", ID_WIDTH), ("to mend it", 1)):
        table.add_column(title, overflow="fold", min_width=least)
    for finding in findings:
        mend = finding.check.suggestion
        if finding.check.resolve is not None:
            mend += f"\napportion-migrate resolve {finding.check.resolve}"
        for number, conflict in enumerate(finding.conflicts):
            ids = "\n".join(conflict.ids[:IDS_IN_TABLE_MAX])
            more = "\n…" if conflict.rows > IDS_IN_TABLE_MAX else ""
            first = number == 0
            table.add_row(
                finding.service if first else "",
                finding.check.name if first else "",
                escape(conflict.key),
                str(conflict.rows),
                escape(ids) + more,
                escape(mend) if first else "",
            )
        if finding.groups > len(finding.conflicts):
            table.add_row("", "", f"and {finding.groups - len(finding.conflicts)} more groups", "", "", "")
    return table


def _as_json(output: Output, report: Report) -> None:
    for finding in report.findings:
        output.json(event="conflict", **finding.as_json())
    found = {(finding.service, finding.check.name) for finding in report.findings}
    for service, name in report.asked:
        if (service, name) not in found:
            output.json(event="clear", service=service, check=name)
    output.json(
        event="preflight",
        clear=report.clear,
        checks=len(report.asked),
        conflicts=len(report.findings),
        took_ms=report.took_ms,
    )


def _as_table(output: Output, report: Report) -> None:
    if report.findings:
        output.console.print(conflicts_table(report.findings))
        output.text(
            f"[red]{len(report.findings)} of {len(report.asked)} checks found blocking rows[/]; nothing was changed."
        )
    else:
        output.text(f"[green]clear[/]: {len(report.asked)} checks found nothing blocking ({report.took_ms} ms).")
