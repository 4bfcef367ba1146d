"""Seeds come only where their feature is open, twice is once, and what an operator says stands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from apportion_common.clock import SystemClock
from apportion_common.db.unit_of_work import Database
from apportion_common.flags import all_open
from apportion_dev.testing.databases import DatabaseFactory, ServiceDatabase, fetch_all
from apportion_migrate import seeds
from apportion_migrate.plan import package_folder
from apportion_migrate.seeds import SeedError, SeedFile
from apportion_migrate.sessions import migration_engine, psycopg_url
from apportion_pricing.app.plans import Plans
from apportion_pricing.store.plans import PlanStore
from apportion_pricing.store.skus import SkuStore
from sqlalchemy import Engine

ROOT = Path(__file__).resolve().parents[3]
SERVICES = ("identity", "pricing", "ledger")
TABLES = {
    "identity": ("global_setting", "audit_entry", "config_head"),
    "pricing": ("product_sku", "business_model", "plan", "plan_sku", "audit_entry", "config_head"),
    "ledger": ("commission_rate", "audit_entry", "config_head"),
}
PATIENCE_S = 60


@pytest.fixture
def databases(database_factory: DatabaseFactory) -> Iterator[dict[str, ServiceDatabase]]:
    made = {service: database_factory.service(service) for service in SERVICES}
    yield made
    for database in made.values():
        database_factory.drop(database.name)


@pytest.fixture
def engine_of(databases: dict[str, ServiceDatabase]) -> Callable[[str], Engine]:
    return lambda service: migration_engine(psycopg_url(databases[service].owner_url))


def contents(databases: dict[str, ServiceDatabase]) -> dict[str, list[str]]:
    """Every row of the tables that seeds may touch, with the transaction that wrote it last."""
    return {
        f"{service}.{table}": sorted(
            map(str, fetch_all(databases[service].owner_url, f"SELECT t.*, t.xmin FROM {table} AS t"))
        )
        for service, tables in TABLES.items()
        for table in tables
    }


def seed(databases: dict[str, ServiceDatabase], environ: dict[str, str], *arguments: str) -> list[tuple[str, str, str]]:
    """What the command says: event, service, and row or file."""
    urls = {f"{name.upper()}_MIGRATION_DATABASE_URL": database.owner_url for name, database in databases.items()}
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FEATURE_")}
    done = subprocess.run(
        [sys.executable, "-m", "apportion_migrate.command", "seed", *arguments],
        env=clean | urls | environ,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return [(line["event"], line["service"], line.get("resource") or line["file"]) for line in lines]


def file_of(service: str) -> SeedFile:
    (file,) = seeds.load_files(service)
    return file


def outcomes(engine: Engine, file: SeedFile, **options: Any) -> dict[str, str]:
    return {row.resource: row.outcome for row in seeds.load(engine, file, **options)}


def changed_file(tmp_path: Path, service: str, *replacements: tuple[str, str]) -> SeedFile:
    """A service's file as a later release might have it."""
    original = file_of(service)
    content = (package_folder(service) / "seeds" / original.name).read_text(encoding="utf-8")
    for before, after in replacements:
        assert content.count(before) >= 1
        content = content.replace(before, after)
    (tmp_path / original.name).write_text(content, encoding="utf-8")
    return seeds.parse_file(service, tmp_path / original.name)


def test_no_seed_is_loaded_where_no_feature_is_open(databases: dict[str, ServiceDatabase]) -> None:
    before = contents(databases)
    assert seed(databases, {}) == [
        ("closed", "identity", "settings.toml"),
        ("closed", "ledger", "rates.toml"),
        ("closed", "pricing", "catalog.toml"),
    ]
    assert contents(databases) == before
    for table in ("identity.global_setting", "pricing.product_sku", "pricing.plan", "ledger.commission_rate"):
        assert before[table] == []


def test_seeds_of_an_open_feature_are_loaded_and_no_others(databases: dict[str, ServiceDatabase]) -> None:
    said = seed(databases, {"FEATURE_POR_LEDGER": "on"})
    assert [line for line in said if line[0] != "closed"] == [
        ("added", "ledger", "commission_rate/standard/default/"),
        ("added", "ledger", "commission_rate/standard/sku_type/action"),
    ]
    assert contents(databases)["pricing.product_sku"] == []


def test_seeds_loaded_twice_give_the_same(databases: dict[str, ServiceDatabase]) -> None:
    first = seed(databases, all_open())
    assert {event for event, _, _ in first} == {"added"}
    once = contents(databases)
    second = seed(databases, all_open())
    assert {event for event, _, _ in second} == {"same"}
    assert [line[1:] for line in second] == [line[1:] for line in first]
    assert contents(databases) == once


def test_a_dry_run_says_what_would_come_and_changes_nothing(databases: dict[str, ServiceDatabase]) -> None:
    before = contents(databases)
    assert {event for event, _, _ in seed(databases, all_open(), "--dry-run")} == {"added"}
    assert contents(databases) == before


def test_the_file_of_settings_opens_seeds_as_it_opens_services(
    databases: dict[str, ServiceDatabase], tmp_path: Path
) -> None:
    file = tmp_path / "flags"
    file.write_text("FEATURE_DOMAIN_CLAIMS=on\n")
    said = seed(databases, {"FEATURE_FLAGS_FILE": str(file)})
    assert [line for line in said if line[0] == "added"] == [
        ("added", "identity", "global_setting/invite_token_ttl_hours/global"),
        ("added", "identity", "global_setting/invite_daily_limit/global"),
    ]


def test_every_row_has_its_audit_entry_and_a_file_takes_one_revision(
    databases: dict[str, ServiceDatabase], engine_of: Callable[[str], Engine]
) -> None:
    found = outcomes(engine_of("pricing"), file_of("pricing"))
    url = databases["pricing"].owner_url
    assert fetch_all(url, "SELECT revision FROM config_head") == [(1,)]
    for table in ("product_sku", "business_model", "plan", "plan_sku"):
        rows = fetch_all(url, f"SELECT DISTINCT revision, created_by FROM {table}")
        assert rows == [(1, "seed:catalog.toml")]
    audited = fetch_all(url, "SELECT resource FROM audit_entry WHERE action = 'seed.load' AND after ? 'row'")
    assert {row[0] for row in audited} == set(found)


def test_the_ids_of_seeded_rows_are_the_same_in_every_environment(
    databases: dict[str, ServiceDatabase], engine_of: Callable[[str], Engine], database_factory: DatabaseFactory
) -> None:
    other = database_factory.service("pricing")
    ids = "SELECT plan_id::text FROM plan UNION SELECT model_id::text FROM business_model ORDER BY 1"
    outcomes(engine_of("pricing"), file_of("pricing"))
    outcomes(migration_engine(psycopg_url(other.owner_url)), file_of("pricing"))
    assert fetch_all(other.owner_url, ids) == fetch_all(databases["pricing"].owner_url, ids)
    database_factory.drop(other.name)


async def test_pricing_reads_the_seeded_plan_as_it_reads_its_own(
    databases: dict[str, ServiceDatabase], engine_of: Callable[[str], Engine]
) -> None:
    outcomes(engine_of("pricing"), file_of("pricing"))
    ((plan_id,),) = fetch_all(databases["pricing"].owner_url, "SELECT plan_id FROM plan")
    database = Database(databases["pricing"].engine, "pricing", SystemClock())
    plan, rows = await Plans(database, PlanStore(), SkuStore()).get(plan_id.bytes, 1_700_000_000_000_000)
    await databases["pricing"].close()
    assert (plan.name, plan.currency) == ("Consumption base", "AUD")
    assert [row.sku for row in rows] == ["ACT-EMAIL", "ACT-SMS", "OBJ-ADDRPICK", "VAL-ADDR", "VAL-EMAIL"]
    assert rows[-1].tiers.to_json() == [
        {"threshold": "1000", "price": "0.018"},
        {"threshold": "5000", "price": "0.015"},
    ]


def test_what_an_operator_changed_took_away_or_made_before_stays(
    databases: dict[str, ServiceDatabase], engine_of: Callable[[str], Engine]
) -> None:
    identity, ledger = databases["identity"].owner_url, databases["ledger"].owner_url
    with psycopg.connect(identity) as session:
        session.execute("INSERT INTO global_setting VALUES ('invite_daily_limit', '7', 'int', 'global', now())")
    assert outcomes(engine_of("identity"), file_of("identity")) == {
        "global_setting/invite_token_ttl_hours/global": "added",
        "global_setting/invite_daily_limit/global": "kept",
    }
    with psycopg.connect(identity) as session:
        session.execute("UPDATE global_setting SET value = '24' WHERE key = 'invite_token_ttl_hours'")
    assert outcomes(engine_of("identity"), file_of("identity")) == {
        "global_setting/invite_token_ttl_hours/global": "edited",
        "global_setting/invite_daily_limit/global": "kept",
    }
    with psycopg.connect(identity) as session:
        session.execute("DELETE FROM global_setting WHERE key = 'invite_token_ttl_hours'")
    assert outcomes(engine_of("identity"), file_of("identity"))["global_setting/invite_token_ttl_hours/global"] == (
        "removed"
    )
    assert fetch_all(identity, "SELECT key, value FROM global_setting") == [("invite_daily_limit", "7")]

    outcomes(engine_of("ledger"), file_of("ledger"))
    with psycopg.connect(ledger) as session:
        session.execute(
            "INSERT INTO commission_rate (rate_id, partner_tier, match_kind, match_value, pct, effective_at, revision)"
            " VALUES (gen_random_uuid(), 'standard', 'default', '', 12, '2026-01-01T00:00:00Z', 2)"
        )
    assert outcomes(engine_of("ledger"), file_of("ledger"))["commission_rate/standard/default/"] == "edited"


def test_rows_below_an_operators_plan_of_the_same_name_are_left_out(
    databases: dict[str, ServiceDatabase], engine_of: Callable[[str], Engine]
) -> None:
    with psycopg.connect(databases["pricing"].owner_url) as session:
        session.execute(
            "INSERT INTO plan (plan_id, name, currency, revision, created_by)"
            " VALUES (gen_random_uuid(), 'Consumption base', 'EUR', 1, 'user:ada')"
        )
    found = outcomes(engine_of("pricing"), file_of("pricing"))
    assert found["plan/Consumption base"] == "kept"
    below = {outcome for resource, outcome in found.items() if resource.startswith("plan_sku/")}
    assert below == {"skipped"}
    assert fetch_all(databases["pricing"].owner_url, "SELECT * FROM plan_sku") == []


def test_a_later_file_changes_what_is_still_as_the_seed_wrote_it(
    databases: dict[str, ServiceDatabase], engine_of: Callable[[str], Engine], tmp_path: Path
) -> None:
    for service in SERVICES:
        outcomes(engine_of(service), file_of(service))
    later = changed_file(tmp_path, "identity", ('"100"', '"200"'))
    assert outcomes(engine_of("identity"), later)["global_setting/invite_daily_limit/global"] == "changed"
    setting = "SELECT value FROM global_setting WHERE key = 'invite_daily_limit'"
    assert fetch_all(databases["identity"].owner_url, setting) == [("200",)]
    entries = "SELECT before, after FROM audit_entry WHERE resource LIKE '%%daily%%' ORDER BY at DESC LIMIT 1"
    ((before, after),) = fetch_all(databases["identity"].owner_url, entries)
    assert (before["row"]["value"], after["row"]["value"]) == ("100", "200")
    assert set(outcomes(engine_of("identity"), later).values()) == {"same"}

    later = changed_file(tmp_path, "ledger", ('pct = "10"\neffective_at = "2000', 'pct = "11"\neffective_at = "2027'))
    assert outcomes(engine_of("ledger"), later)["commission_rate/standard/default/"] == "changed"
    rates = "SELECT pct::int, revision FROM commission_rate WHERE match_kind = 'default' ORDER BY revision"
    assert fetch_all(databases["ledger"].owner_url, rates) == [(10, 1), (11, 2)], "The old version stays."
    assert set(outcomes(engine_of("ledger"), later).values()) == {"same"}

    later = changed_file(tmp_path, "pricing", ('unit = "use"', 'unit = "pick"'))
    assert outcomes(engine_of("pricing"), later)["product_sku/OBJ-ADDRPICK"] == "stale", "A SKU is not edited in place."


def test_a_row_that_the_database_refuses_leaves_nothing_of_its_file(
    databases: dict[str, ServiceDatabase], engine_of: Callable[[str], Engine], tmp_path: Path
) -> None:
    broken = changed_file(tmp_path, "pricing", ('charge_model = "graduated"', 'charge_model = "by_feel"'))
    before = contents(databases)
    with pytest.raises(SeedError, match="ck_plan_sku_charge_model"):
        seeds.load(engine_of("pricing"), broken)
    assert contents(databases) == before


def test_two_loads_at_once_add_each_row_once(
    databases: dict[str, ServiceDatabase], engine_of: Callable[[str], Engine]
) -> None:
    found: list[set[str]] = []

    def work() -> None:
        found.append(set(outcomes(engine_of("pricing"), file_of("pricing")).values()))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert sorted(found, key=sorted) == [{"added"}, {"same"}]
    assert fetch_all(databases["pricing"].owner_url, "SELECT count(*) FROM product_sku") == [(5,)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flag = 'speed'\n[[table]]\n", "has a flag that there is"),
        ("flag = 'metering'\n[[table]]\nname = 'x; DROP'\nkey = ['a']\n[[table.row]]\na = 1\n", "plain names"),
        ("flag = 'metering'\n[[table]]\nname = 'x'\nkey = ['a']\n[[table.row]]\nb = 1\n", "lacks its key"),
        ("flag = 'metering'\n[[table]]\nname = 'x'\nkey = ['a']\n[[table.row]]\na = 1\nb = 0.5\n", "written as text"),
        ("flag = 'metering'\n[[table]]\nname = 'x'\nkey = ['a']\nrow = [{a = 1}, {a = 1}]\n", "two rows of one key"),
        ("flag = 'metering'\n[[table]]\nname = 'x'\nkey = ['a']\nchange = 'often'\nrow = [{a = 1}]\n", "a change"),
        ("flag =", "cannot be read"),
    ],
)
def test_a_file_that_is_amiss_is_refused_with_a_reason(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "seeds.toml"
    file.write_text(text)
    with pytest.raises(SeedError, match=message):
        seeds.parse_file("ledger", file)
