"""The month that is sent: January's usage of the examples, under as many prefixes as wanted, and the bill it must give.

One file holds all prefixes, its organisations and projects by their ids, so that one client process sends them all.
"""

from __future__ import annotations

import csv
import gzip
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from apportion_client import naming

ROOT: Final = Path(__file__).resolve().parent.parent
FOLDER: Final = ROOT / "examples" / "flights-2013-01"
SCENARIO: Final = FOLDER / "scenario.json"
HEADER: Final = ("request_id", "org", "project", "sku", "quantity", "event_time")
COPY_COLUMNS: Final = (
    *("org_id", "project_id", "request_id", "sku", "quantity", "event_time"),
    *("event_id", "lane", "pos", "seq"),
)
COPY_TYPES: Final = (
    *("uuid", "uuid", "text", "text", "numeric", "timestamptz"),
    *("uuid", "int4", "int8", "int8"),
)
DIFFERENCES_SHOWN: Final = 5

Row = tuple[str, ...]
"""As HEADER names the fields."""


@dataclass
class Bill:
    """What usage comes to: quantity and gross by organisation and SKU; earned, paid at once, how often, by partner."""

    charges: dict[tuple[str, str], tuple[Decimal, Decimal]] = field(default_factory=dict)
    partners: dict[str, tuple[Decimal, Decimal, int]] = field(default_factory=dict)


def scenario() -> dict[str, Any]:
    """Return the month's scenario with its expected figures."""
    content: dict[str, Any] = json.loads(SCENARIO.read_text(encoding="utf-8"))
    return content


def rows(limit: int | None = None) -> Iterator[Row]:
    """Yield the month's rows in the file's order, the first `limit` ones."""
    with gzip.open(FOLDER / "events.csv.gz", "rt", encoding="utf-8") as file:
        lines = csv.reader(file)
        assert tuple(next(lines)) == HEADER
        yield from map(tuple, itertools.islice(lines, limit))


def rows_of(prefix: str, limit: int | None = None) -> Iterator[Row]:
    """Yield the rows with the ids that organisations and projects have under a prefix."""
    for request_id, org, project, *rest in rows(limit):
        project_id = naming.project_id(org, project, prefix)
        yield request_id, str(naming.org_id(org, prefix)), str(project_id or ""), *rest


def write(file: Path, prefixes: Sequence[str], limit: int | None = None) -> int:
    """Write the rows under all prefixes as one file of usage; return how many there are."""
    count = 0
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(HEADER)
        for prefix in prefixes:
            for row in rows_of(prefix, limit):
                writer.writerow(row)
                count += 1
    return count


def copy_rows(prefixes: Iterable[str]) -> Iterator[tuple[object, ...]]:
    """Yield the rows as a COPY takes them: the columns that metering stores of an event."""
    for prefix in prefixes:
        for number, (request_id, org, project, sku, quantity, at) in enumerate(rows_of(prefix)):
            yield (
                UUID(org),
                UUID(project),
                request_id,
                sku,
                Decimal(quantity),
                datetime.fromisoformat(at),
                UUID(int=number),
                number % 32,
                number,
                number,
            )


def expected_bill(content: dict[str, Any], prefixes: Sequence[str]) -> Bill:
    """Return the bill of the month under the prefixes. Partners are the same under each, so they earn from all."""
    expected = content["expected"]
    bill = Bill()
    for prefix in prefixes:
        for row in expected["by_org_sku"]:
            key = str(naming.org_id(row["org"], prefix)), row["sku"]
            bill.charges[key] = Decimal(row["quantity"]), Decimal(row["gross"])
    times = len(prefixes)
    for name, row in expected["partners"].items():
        bill.partners[str(naming.partner_id(name))] = (
            Decimal(row["earned"]) * times,
            Decimal(row["paid_real_time"]) * times,
            row["real_time_lines"] * times,
        )
    return bill


def differences(expected: Bill, found: Bill) -> list[str]:
    """Return a sentence for each figure that is not the expected one to the last digit."""
    wrong = []
    pairs = (("charges", expected.charges, found.charges), ("partner", expected.partners, found.partners))
    for what, wanted, got in pairs:
        for key in sorted({*wanted, *got}, key=str):
            one, other = wanted.get(key), got.get(key)
            if one != other:
                wrong.append(f"{what} {key}: expected {_text(one)}, found {_text(other)}")
    return wrong


def _text(values: tuple[object, ...] | None) -> str:
    return "nothing" if values is None else " ".join(map(str, values))
