"""The form of a scenario file: everything that is wrong in it, each with its key and line, before anything is sent."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from apportion_common.errors import ApportionError
from apportion_common.money import MINOR_UNITS
from apportion_common.periods import parse_period

Path = tuple[str | int, ...]
Check = Callable[["Form", Path, Any], None]

SKU_TYPES: Final = ("hosting", "object", "validation", "action", "analytics")
CHARGE_MODELS: Final = ("per_unit", "graduated")
ALLOCATIONS: Final = ("absorb", "chargeback", "split")
MATCH_KINDS: Final = ("sku", "sku_type", "default")
SUBJECTS: Final = {"org": "orgs", "account": "billing_accounts"}
KINDS: Final = {"orgs": "organisation", "billing_accounts": "billing account", "plans": "plan", "partners": "partner"}
_LEXEME: Final = re.compile(r'\s*("(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+)')
_NUMBER: Final = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")


@dataclass
class Form:
    """What is found while a file is read: its problems, the names that it defines and those that it uses."""

    problems: list[tuple[Path, str]] = field(default_factory=list)
    named: dict[str, set[str]] = field(default_factory=dict)
    used: list[tuple[Path, str, str]] = field(default_factory=list)

    def add(self, path: Path, problem: str) -> None:
        """Note what is wrong with the value of a key."""
        self.problems.append((path, problem))


def problems_of(content: Any, text: str) -> list[str]:
    """Return what is wrong in a scenario, a sentence each with line and key; nothing where it can be applied."""
    form = Form()
    short = not (isinstance(content, dict) and "plans" in content)
    (SHORT if short else FULL)(form, (), content)
    if not form.problems:
        form.named = _names(content, short)
        _check_whole(form, content, short)
    lines = _lines(text)
    found = sorted((_line(lines, path), path, problem) for path, problem in form.problems) if form.problems else []
    return [f"line {line}, {_key(path)}: {problem}" for line, path, problem in found]


def _key(path: Path) -> str:
    return " > ".join(f"number {part + 1}" if isinstance(part, int) else part for part in path) or "the file"


def _line(lines: Mapping[Path, int], path: Path) -> int:
    """Return the line of a key, or of what it should be in."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


def _lines(text: str) -> dict[Path, int]:
    """Return the line of every key and item of a JSON text."""
    found: dict[Path, int] = {(): 1}
    path: list[str | int] = []
    waiting: list[bool] = []
    """For each open object or list whether a key is next; lists count."""
    place, line = 0, 1
    while match := _LEXEME.match(text, place):
        lexeme = match[1]
        line += text.count("\n", place, match.start(1))
        place = match.end()
        if lexeme in ("{", "["):
            waiting.append(lexeme == "{")
            path.append("" if lexeme == "{" else 0)
            if lexeme == "[":
                found[tuple(path)] = line
        elif lexeme in ("}", "]"):
            waiting.pop()
            path.pop()
        elif lexeme == ",":
            last = path[-1]
            if isinstance(last, int):
                path[-1] = last + 1
                following = _LEXEME.match(text, place)
                at = following.start(1) if following else place
                found[tuple(path)] = line + text.count("\n", place, at)
            else:
                waiting[-1] = True
        elif lexeme.startswith('"') and waiting and waiting[-1] and isinstance(path[-1], str):
            path[-1] = json.loads(lexeme)
            waiting[-1] = False
            found[tuple(path)] = line
    return found


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)[:40]


def _text(form: Form, path: Path, value: Any) -> None:
    if not isinstance(value, str) or not value.strip():
        form.add(path, f"{_shown(value)} is no text.")


def _number(form: Form, path: Path, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal) or not _NUMBER.fullmatch(str(value)):
        form.add(path, f'{_shown(value)} is not a number such as "0.015".')


def _instant(form: Form, path: Path, value: Any) -> None:
    try:
        if datetime.fromisoformat(value).tzinfo is not None:
            return
    except (TypeError, ValueError):
        pass
    form.add(path, f'{_shown(value)} is not a time with an offset such as "2025-03-01T00:00:00Z".')


def _month(form: Form, path: Path, value: Any) -> None:
    try:
        parse_period(str(value))
    except ApportionError:
        form.add(path, f'{_shown(value)} is not a month such as "2025-03".')


def _currency(form: Form, path: Path, value: Any) -> None:
    if value not in MINOR_UNITS:
        form.add(path, f'{_shown(value)} is not a currency such as "AUD".')


def _one_of(*words: str) -> Check:
    def check(form: Form, path: Path, value: Any) -> None:
        if value not in words:
            form.add(path, f"{_shown(value)} is none of {', '.join(words)}.")

    return check


def _or_null(inner: Check) -> Check:
    return lambda form, path, value: None if value is None else inner(form, path, value)


def _use_of(kind: str) -> Check:
    """Return the check of a name that the file has to define elsewhere."""

    def check(form: Form, path: Path, value: Any) -> None:
        _text(form, path, value)
        form.used.append((path, kind, str(value)))

    return check


def _subject(form: Form, path: Path, value: Any) -> None:
    kind, _, name = str(value).partition(":")
    if kind not in SUBJECTS or not name:
        form.add(path, f'{_shown(value)} is not "account:CODE" or "org:CODE".')
    else:
        form.used.append((path, SUBJECTS[kind], name))


def _list(inner: Check) -> Check:
    def check(form: Form, path: Path, value: Any) -> None:
        if not isinstance(value, list):
            form.add(path, "It must be a list.")
            return
        for place, item in enumerate(value):
            inner(form, (*path, place), item)

    return check


def _some(inner: Check) -> Check:
    """Return the check of a list with at least one item."""

    def check(form: Form, path: Path, value: Any) -> None:
        _list(inner)(form, path, value)
        if value == []:
            form.add(path, "It must have at least one item.")

    return check


def _by_name(inner: Check) -> Check:
    def check(form: Form, path: Path, value: Any) -> None:
        if not isinstance(value, dict):
            form.add(path, "It must be an object with a name for each.")
            return
        for name, item in value.items():
            if not name.strip():
                form.add((*path, name), "A name must not be blank.")
            inner(form, (*path, name), item)

    return check


def _fields(optional: Mapping[str, Check] | None = None, /, **needed: Check) -> Check:
    def check(form: Form, path: Path, value: Any) -> None:
        if not isinstance(value, dict):
            form.add(path, f"It must be an object with {', '.join(needed)}.")
            return
        for name, inner in needed.items():
            if name in value:
                inner(form, (*path, name), value[name])
            else:
                form.add(path, f"It lacks {name}.")
        for name, inner in (optional or {}).items():
            if name in value:
                inner(form, (*path, name), value[name])

    return check


_TIERS: Final = _list(_fields(threshold=_number, price=_number))
_SKU: Final[dict[str, Check]] = {"type": _one_of(*SKU_TYPES), "unit": _text}
_PRICES: Final[dict[str, Check]] = {"included_qty": _number, "overage_price": _number, "tiers": _TIERS}
_MODEL: Final[dict[str, Check]] = {"charge_model": _one_of(*CHARGE_MODELS)}
_ALLOCATION: Final[dict[str, Check]] = {
    "account": _use_of("billing_accounts"),
    "allocation": _one_of(*ALLOCATIONS),
    "percent": _or_null(_number),
}
SHORT: Final = _fields(
    period=_fields(start=_instant),
    plan=_fields({"name": _text}, currency=_currency, skus=_by_name(_fields(**_SKU, **_MODEL, **_PRICES))),
    groups=_by_name(_fields(billing_account=_text, children=_list(_text))),
    mappings=_by_name(_fields(**_ALLOCATION)),
    partners=_by_name(_fields(name=_text, tier=_text, payout_currency=_currency)),
    commission_rates=_list(_fields(tier=_text, sku=_text, pct=_number)),
    partners_of_record=_list(_fields(subject=_subject, partner=_use_of("partners"))),
)
FULL: Final = _fields(
    {"beginning": _instant},
    skus=_by_name(_fields(**_SKU)),
    plans=_by_name(_fields(currency=_currency, skus=_by_name(_fields(**_MODEL, **_PRICES)))),
    price_changes=_list(_fields({**_MODEL, **_PRICES}, plan=_use_of("plans"), sku=_text, effective_at=_instant)),
    orgs=_by_name(_fields({"assigned_at": _or_null(_instant)}, plan=_or_null(_use_of("plans")))),
    billing_accounts=_by_name(_fields(owner=_text, currency=_currency)),
    mappings=_list(_fields(org=_use_of("orgs"), effective_at=_instant, **_ALLOCATION)),
    entitlements=_list(
        _fields(
            subject=_subject,
            plan=_use_of("plans"),
            effective_at=_instant,
            overrides=_by_name(_fields(_PRICES)),
        )
    ),
    partners=_by_name(
        _fields(name=_text, payout_currency=_currency, tiers=_some(_fields(tier=_text, effective_at=_instant)))
    ),
    commission_rates=_list(
        _fields(
            tier=_text,
            match_kind=_one_of(*MATCH_KINDS),
            match_value=_or_null(_text),
            pct=_number,
            effective_at=_instant,
        )
    ),
    partners_of_record=_list(
        _fields(subject=_subject, partner=_use_of("partners"), start_at=_instant, end_at=_or_null(_instant))
    ),
    closed_periods=_list(_month),
)


def _names(content: dict[str, Any], short: bool) -> dict[str, set[str]]:
    """Return the codes that a file of the right form defines, by kind."""
    if short:
        groups = content["groups"]
        return {
            "orgs": {*groups, *(org for group in groups.values() for org in group["children"])},
            "billing_accounts": {group["billing_account"] for group in groups.values()},
            "plans": set(),
            "partners": set(content["partners"]),
        }
    owners = {account["owner"] for account in content["billing_accounts"].values()}
    return {
        "orgs": {*content["orgs"], *owners},
        "billing_accounts": set(content["billing_accounts"]),
        "plans": set(content["plans"]),
        "partners": set(content["partners"]),
    }


def _check_whole(form: Form, content: dict[str, Any], short: bool) -> None:
    """Note what only shows when the parts are put together."""
    for path, kind, name in form.used:
        if name not in form.named[kind]:
            form.add(path, f"The file has no {KINDS[kind]} {_shown(name)}.")
    if short:
        for path, problem in _unmapped(content):
            form.add(path, problem)
        rows = [(("mappings", name), row) for name, row in content["mappings"].items()]
    else:
        rows = [(("mappings", place), row) for place, row in enumerate(content["mappings"])]
        for name, org in content["orgs"].items():
            if org["plan"] is not None and org.get("assigned_at") is None:
                form.add(("orgs", name), "It has a plan and lacks assigned_at.")
        for place, change in enumerate(content["price_changes"]):
            plan = content["plans"].get(change["plan"], {"skus": {change["sku"]: None}})
            if change["sku"] not in plan["skus"]:
                form.add(("price_changes", place, "sku"), f"The plan {_shown(change['plan'])} has no such SKU.")
    for path, row in rows:
        if (row["allocation"] == "split") == (row["percent"] is None):
            wrong = "A split needs a percent." if row["percent"] is None else "Only a split has a percent."
            form.add((*path, "percent"), wrong)


def _unmapped(content: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    for name, group in content["groups"].items():
        for place, org in enumerate(group["children"]):
            if org not in content["mappings"]:
                yield ("groups", name, "children", place), f"mappings does not say who pays for {_shown(org)}."
