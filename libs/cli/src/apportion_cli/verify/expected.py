"""The expected figures of a scenario file, of either shape, under one set of names."""

from __future__ import annotations

from typing import Any, Final

from apportion_cli.verify.figures import Figures, Name, flat, joined

LINE_VALUES: Final = (
    "org",
    "request_id",
    "sku",
    "account",
    "currency",
    "gross",
    "partner",
    "pct",
    "partner_amount",
    "net",
    "real_time_paid",
)
"""What a line is compared by, in the order in which the hash of all lines takes them, after the row."""
PAYS: Final = "pays"
SHOWS: Final = "shows"


def expected_figures(scenario: dict[str, Any]) -> Figures:
    """Return every figure under `expected`. Raises KeyError when the scenario has none."""
    return _full(scenario["expected"]) if "counts" in scenario["expected"] else _short(scenario)


def _full(expected: dict[str, Any]) -> Figures:
    figures = flat("counts", expected["counts"])
    for reason, rows in expected["dead_letters"].items():
        figures |= {
            ("dead_letters", reason, f"row {row['row']}"): joined(row["org"], row["request_id"]) for row in rows
        }
    figures |= {
        ("duplicates", f"row {row['row']}"): joined(row["org"], row["request_id"]) for row in expected["duplicates"]
    }
    for row in expected["by_org_sku"]:
        key: Name = ("by_org_sku", row["org"], row["sku"], row["period"], row["currency"])
        figures |= {(*key, kind): str(row[kind]) for kind in ("lines", "quantity", "gross")}
    figures |= flat("gross_total", expected["gross_total"])
    for partner, currencies in expected["partners"].items():
        for currency, row in currencies.items():
            owner: Name = ("partners", partner, currency)
            figures |= {(*owner, kind): str(value) for kind, value in row.items() if kind != "sweeps"}
            figures |= {("sweeps", week, partner, currency): paid for week, paid in row["sweeps"].items()}
    for account, row in expected["accounts"].items():
        figures |= _full_account(account, row)
    for row in expected["lines"]:
        name = ("lines", f"row {row['row']}", row["case"])
        figures[name] = joined(*(row[value] for value in LINE_VALUES))
    figures[("lines_sha256",)] = expected["lines_sha256"]
    return figures


def _full_account(account: str, row: dict[str, Any]) -> Figures:
    key: Name = ("accounts", account)
    figures = {(*key, kind): row[kind] for kind in ("currency", "ledger_total", "invoice_total", "rounding_difference")}
    figures[*key, "declared order"] = joined(*(part["org"] for part in row["orgs"]))
    for part in row["orgs"]:
        figures |= {(*key, part["org"], kind): str(value) for kind, value in part.items() if kind != "org"}
    figures |= {(*key, payer["payer"], PAYS): payer["total"] for payer in row["payers"]}
    return figures | {(*key, copy["org"], SHOWS): copy["total"] for copy in row["copies_not_payable"]}


def _short(scenario: dict[str, Any]) -> Figures:
    key: Name
    expected, currency = scenario["expected"], scenario["plan"]["currency"]
    period = scenario["period"]["start"][: len("2013-01")]
    # Every row of such a file is a new event, and every one of them is charged.
    figures = flat("counts", dict.fromkeys(("file_rows", "accepted", "lines"), expected["events"]))
    figures["counts", "lines_at_or_above_threshold"] = str(expected["lines_at_or_above_threshold"])
    for row in expected["by_org_sku"]:
        key = ("by_org_sku", row["org"], row["sku"], period, currency)
        figures |= {(*key, kind): row[kind] for kind in ("quantity", "gross")}
    figures["gross_total", currency] = expected["gross_total"]
    for partner, row in expected["partners"].items():
        key = ("partners", partner, currency)
        figures[*key, "earned"] = row["earned"]
        figures[*key, "real_time_paid"] = row["paid_real_time"]
        figures[*key, "real_time_lines"] = str(row["real_time_lines"])
        figures[*key, "paid_in_all"] = row["paid_in_all_once_swept"]
        figures[*key, "balance"] = row["carried"]
    for week, partners in expected["sweeps"].items():
        figures |= {("sweeps", week, partner, currency): paid for partner, paid in partners.items()}
    owners = {group["billing_account"]: name for name, group in scenario["groups"].items()}
    for account, row in expected["accounts"].items():
        key = ("accounts", account)
        figures[*key, "ledger_total"] = row["gross"]
        figures[*key, "invoice_total"] = row["total"]
        figures |= {(*key, org, "part"): part for org, part in row["parts"].items()}
        figures |= {
            (*key, owners[account] if payer == "owner" else payer, PAYS): total
            for payer, total in row["payers"].items()
        }
    return figures
