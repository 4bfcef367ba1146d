"""Each gate catches the unsafe revision that is planted for it, and names what is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from alembic import command
from apportion_dev.testing.databases import DatabaseFactory, ServiceDatabase
from apportion_dev.testing.migration_gates import (
    Held,
    Trace,
    crash_sweep,
    left_by_downgrade,
    model_differences,
    offline_differences,
    shortest,
    split_statements,
    trace_locks,
)
from apportion_migrate.checksums import changed, checksums
from apportion_migrate.lint import broken_rules, lint
from apportion_migrate.plan import PlanError
from apportion_migrate.sessions import psycopg_url
from migration_toys import Toy, make_toy, write_revision
from pytest_alembic import runner, tests
from pytest_alembic.config import Config
from pytest_alembic.plugin.error import AlembicTestFailure
from sqlalchemy import Column, MetaData, NullPool, Table, Text, create_engine
from sqlalchemy.exc import ProgrammingError

CREATE = 'op.execute("CREATE TABLE extra (a int)")'


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    """A checkout alone: most gates need no database."""
    return make_toy(tmp_path, lambda service: f"postgresql://{service}", lambda service: f"postgresql://{service}")


@pytest.fixture(scope="module")
def first(database_factory: DatabaseFactory, tmp_path_factory: pytest.TempPathFactory) -> ServiceDatabase:
    """A database of alpha at its first revision, which no test writes anew."""
    database = database_factory.blank("alpha")
    toy = make_toy(tmp_path_factory.mktemp("toy"), lambda _: database.owner_url, lambda _: database.app_url)
    command.upgrade(config(toy, database), "alpha_1")
    return database


@pytest.fixture
def at_first(first: ServiceDatabase, database_factory: DatabaseFactory) -> Iterator[Callable[[], ServiceDatabase]]:
    """Gives copies of that."""
    made: list[ServiceDatabase] = []

    def new() -> ServiceDatabase:
        made.append(database_factory.copy(first))
        return made[-1]

    yield new
    for database in made:
        database_factory.drop(database.name)


def config(toy: Toy, database: ServiceDatabase | None = None):
    made = toy.plan.alembic_config("alpha")
    if database is not None:
        made.attributes["connection"] = create_engine(psycopg_url(database.owner_url), poolclass=NullPool)
    return made


def complaints(toy: Toy, upgrade: str, downgrade: str = "op.execute('DROP TABLE extra')", **notes: object) -> list[str]:
    toy.rewrite("alpha", upgrade, downgrade, **notes)
    return [complaint.rule for complaint in lint(toy.plan, toy.root) if complaint.revision == "alpha_2"]


# --- the SQL

UNSAFE = {
    "backfill": "UPDATE step_log SET step = 'x'",
    "lock": "LOCK TABLE step_log IN SHARE MODE",
    "truncate": "TRUNCATE step_log",
    "disable-trigger": "ALTER TABLE step_log DISABLE TRIGGER ALL",
    "cascade": "DROP TABLE step_log CASCADE",
    "time-out": "SET lock_timeout = 0",
    "transaction": "COMMIT",
    "seed": "INSERT INTO step_log VALUES ('x')",
    "rewrite": "CLUSTER step_log USING ix",
    "drop-constraint": "ALTER TABLE step_log DROP CONSTRAINT c",
}


@pytest.mark.parametrize("rule", UNSAFE)
def test_our_lint_names_what_squawk_does_not_see(toy: Toy, rule: str) -> None:
    # A COMMIT in the text reads like the one of a block that leaves the transaction, and is refused as such.
    named = "non-transactional" if rule == "transaction" else rule
    assert named in complaints(toy, f'op.execute("{UNSAFE[rule]}")')


@pytest.mark.parametrize("rule", sorted(UNSAFE.keys() - {"transaction"}))
def test_our_lint_looks_into_blocks_too(rule: str) -> None:
    block = f"DO $$ BEGIN IF true THEN {UNSAFE[rule]}; END IF; END $$;"
    assert [name for name, _ in broken_rules(block)] == [rule]


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM a",
        "WITH x AS (SELECT 1) UPDATE a SET b = 1",
        "MERGE INTO a USING b ON true WHEN MATCHED THEN DELETE",
    ],
)
def test_every_way_to_change_rows_is_a_backfill(statement: str) -> None:
    assert [name for name, _ in broken_rules(statement)] == ["backfill"]


def test_a_statement_may_break_a_rule_with_a_reason_and_not_without_one() -> None:
    assert list(broken_rules("-- allow backfill: a hundred rows\nUPDATE a SET b = 1")) == []
    assert [name for name, _ in broken_rules("-- allow backfill\nUPDATE a SET b = 1")] == ["backfill"]
    assert [name for name, _ in broken_rules("-- allow lock: why not\nUPDATE a SET b = 1")] == ["backfill"]


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM a; END $$",
        "COMMENT ON TABLE a IS 'UPDATE a; TRUNCATE a'",
        "CREATE TRIGGER t BEFORE UPDATE ON a EXECUTE FUNCTION f()",
        "ALTER TABLE a DROP CONSTRAINT IF EXISTS c, ADD CONSTRAINT c CHECK (b > 0) NOT VALID",
        "INSERT INTO a (b) SELECT b FROM c",
    ],
)
def test_what_only_looks_unsafe_is_let_in(statement: str) -> None:
    assert list(broken_rules(statement)) == []


def test_squawk_names_an_index_that_keeps_writers_waiting(toy: Toy) -> None:
    index = 'op.execute("CREATE INDEX ix ON step_log (step)")'
    assert "require-concurrent-index-creation" in complaints(toy, index, lock_class="none")


def test_squawk_names_a_change_of_type_whatever_the_revision_declares(toy: Toy) -> None:
    change = 'op.execute("ALTER TABLE step_log ALTER COLUMN backend TYPE bigint")'
    assert "changing-column-type" in complaints(toy, change, lock_class="exclusive-short")


def test_what_leaves_the_transaction_says_so_and_can_be_run_again(toy: Toy) -> None:
    index = "safe.create_index_concurrently('ix', 'step_log', 'step')"
    assert "non-transactional" in complaints(toy, index)
    assert complaints(toy, index, "safe.drop_index_concurrently('ix')", non_transactional=True) == []
    assert "not-repeatable" in complaints(toy, f"{CREATE}; {index}", non_transactional=True)


def test_notes_that_are_missing_empty_or_untrue_are_named(toy: Toy) -> None:
    assert complaints(toy, CREATE) == []
    assert complaints(toy, CREATE, "pass") == ["notes"]
    assert complaints(toy, CREATE, why="…") == ["notes"]
    assert complaints(toy, CREATE, test="tests/nowhere.py") == ["notes"]
    file = toy.root / "apportion_alpha/migrations/versions/alpha_2.py"
    file.write_text(file.read_text().replace("NOTES = ", "NOTED = "))
    assert "notes" in [complaint.rule for complaint in lint(toy.plan, toy.root)]


# --- what was let in once


def test_a_changed_revision_and_one_that_is_gone_are_named(toy: Toy) -> None:
    before = {"alpha": checksums(toy.plan.script("alpha"), "alpha")}
    toy.rewrite("alpha", CREATE, "op.execute('DROP TABLE extra')")
    assert changed(before, {"alpha": checksums(toy.plan.script("alpha"), "alpha")}) == ["alpha alpha_2: changed"]
    assert changed(before, {"alpha": {}}) == ["alpha alpha_1: gone", "alpha alpha_2: gone"]


def test_white_space_and_comments_in_python_are_no_change(toy: Toy) -> None:
    before = checksums(toy.plan.script("alpha"), "alpha")
    file = toy.root / "apportion_alpha/migrations/versions/alpha_1.py"
    file.write_text(file.read_text().replace("CREATE TABLE step_log (", "CREATE  TABLE\\n step_log (") + "\n# more\n")
    assert checksums(toy.plan.script("alpha"), "alpha") == before


def test_what_a_helper_writes_is_part_of_the_checksum(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    toy.rewrite("alpha", "safe.create_lane_tables()", "safe.drop_lane_tables()")
    before = checksums(toy.plan.script("alpha"), "alpha")["alpha_2"]
    monkeypatch.setattr("apportion_migrate.ops.LANE_DDL", ("CREATE TABLE lane (other int)",))
    assert checksums(toy.plan.script("alpha"), "alpha")["alpha_2"] != before


def test_the_role_in_the_environment_is_no_part_of_the_checksum(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    toy.rewrite("alpha", "safe.create_lane_tables()", "safe.drop_lane_tables()")
    before = checksums(toy.plan.script("alpha"), "alpha")
    monkeypatch.setenv("ALPHA_APP_ROLE", "somebody")
    assert checksums(toy.plan.script("alpha"), "alpha") == before


# --- the schema


def test_a_table_that_no_model_has_is_named(
    toy: Toy, at_first: Callable[[], ServiceDatabase], database_factory: DatabaseFactory
) -> None:
    metadata = MetaData()
    Table("step_log", metadata, Column("step", Text), Column("lock_timeout", Text))
    found = model_differences(at_first(), database_factory.blank("alpha"), metadata)
    assert found == ["column step_log.backend: integer | nothing"]


def test_something_left_by_the_way_back_is_named(toy: Toy, at_first: Callable[[], ServiceDatabase]) -> None:
    toy.rewrite("alpha", CREATE, "pass")
    found = left_by_downgrade(at_first(), lambda: config(toy), "alpha_2")
    assert "column extra.a: nothing | integer" in found


def test_a_revision_that_does_something_only_online_is_named(
    toy: Toy, at_first: Callable[[], ServiceDatabase], database_factory: DatabaseFactory
) -> None:
    toy.rewrite("alpha", f"op.get_context().as_sql or {CREATE}", "pass")
    online = at_first()
    command.upgrade(config(toy, online), "alpha_2")
    text = config(toy)
    text.output_buffer = Buffer()
    command.upgrade(text, "alpha_2", sql=True)
    found = offline_differences(online, database_factory.blank("alpha"), text.output_buffer.text)
    assert "column extra.a: integer | nothing" in found


class Buffer:
    """Collects what Alembic writes."""

    text = ""

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        """Nothing is held back."""


# --- what every Alembic environment should stand


def stand(toy: Toy, database: ServiceDatabase, check: Callable[..., None]) -> str:
    """What a test of pytest-alembic says of alpha; nothing where it is content."""
    aimed = config(toy, database)
    try:
        with runner(config=Config(alembic_config=aimed), engine=aimed.attributes["connection"]) as alembic:
            check(alembic)
    except AlembicTestFailure as failure:
        return " ".join(str(failure).split())
    return ""


def test_two_heads_are_named(toy: Toy, database_factory: DatabaseFactory) -> None:
    database = database_factory.blank("alpha")
    assert stand(toy, database, tests.test_single_head_revision) == ""
    write_revision(toy.root, "alpha", "alpha_x", "alpha_1", "pass", "pass")
    said = stand(toy, database, tests.test_single_head_revision)
    assert "Expected 1 head revision, found 2" in said
    assert "alpha_2" in said
    assert "alpha_x" in said


def test_a_history_that_does_not_lead_to_its_head_is_named(toy: Toy, database_factory: DatabaseFactory) -> None:
    database = database_factory.blank("alpha")
    assert stand(toy, database, tests.test_upgrade) == ""
    toy.rewrite("alpha", 'op.execute("ALTER TABLE gone ADD COLUMN a int")')
    with pytest.raises(ProgrammingError, match='relation "gone" does not exist'):
        stand(toy, database_factory.blank("alpha"), tests.test_upgrade)


@pytest.mark.parametrize(
    ("downgrade", "named"),
    [
        # A way back is called after the revision that it leads to.
        ("op.execute('DROP TABLE gone')", "Failed to downgrade .* Failing Revision: alpha_1 .* DROP TABLE gone"),
        ("pass", 'after performing a roundtrip .* Failing Revision: alpha_2 .* "extra" already exists'),
    ],
    ids=["it-fails", "it-leaves-something"],
)
def test_a_way_back_that_does_not_lead_up_again_is_named(
    toy: Toy, database_factory: DatabaseFactory, downgrade: str, named: str
) -> None:
    toy.rewrite("alpha", CREATE, "op.execute('DROP TABLE extra')")
    assert stand(toy, database_factory.blank("alpha"), tests.test_up_down_consistency) == ""
    toy.rewrite("alpha", CREATE, downgrade)
    assert re.search(named, stand(toy, database_factory.blank("alpha"), tests.test_up_down_consistency))


def test_a_column_that_only_a_model_has_is_named(toy: Toy, database_factory: DatabaseFactory) -> None:
    table = "Table('step_log', models, Column('step', Text), Column('backend', Integer), Column('lock_timeout', Text)"
    file = toy.root / "apportion_alpha/migrations/env.py"
    text = file.read_text().replace("import MetaData", "import Column, Integer, MetaData, Table, Text")
    text = text.replace("run(MetaData()", "models = MetaData()\n{}\nrun(models")
    for more, named in (("", ""), (", Column('more', Text)", "op.add_column('step_log', sa.Column('more'")):
        file.write_text(text.replace("{}", f"{table}{more})"))
        said = stand(toy, database_factory.blank("alpha"), tests.test_model_definitions_match_ddl)
        assert bool(said) == bool(named)
        assert named in said


def test_statements_are_split_where_they_end() -> None:
    text = "CREATE FUNCTION f() AS $x$\nBEGIN;\nEND $x$;\n-- it's;\nSELECT ';\n';\nSELECT 2;"
    assert split_statements(text) == [
        "CREATE FUNCTION f() AS $x$\nBEGIN;\nEND $x$;",
        "-- it's;\nSELECT ';\n';",
        "SELECT 2;",
    ]


# --- crashes


def test_a_revision_that_cannot_be_run_again_is_named(toy: Toy, at_first: Callable[[], ServiceDatabase]) -> None:
    block = "with op.get_context().autocommit_block(): "
    half = block + 'op.execute("CREATE TABLE half ()"); op.execute("CREATE TABLE rest ()")'
    toy.rewrite("alpha", half, "pass")
    for exhaustive in (False, True):
        sweep = crash_sweep(at_first, lambda: config(toy), "alpha_2", exhaustive=exhaustive)
        assert any('relation "half" already exists' in problem for problem in sweep.problems), sweep.problems


def test_a_revision_that_goes_on_from_something_else_is_named(
    toy: Toy, at_first: Callable[[], ServiceDatabase]
) -> None:
    drift = (
        "with op.get_context().autocommit_block():"
        " op.execute(\"DO $$ BEGIN EXECUTE format('CREATE TABLE t%s ()', (SELECT count(*) FROM pg_tables)); END $$\");"
        ' op.execute("SELECT 1")'
    )
    toy.rewrite("alpha", drift, "pass")
    assert crash_sweep(at_first, lambda: config(toy), "alpha_2").problems != []


def test_a_revision_of_online_helpers_survives_every_crash(toy: Toy, at_first: Callable[[], ServiceDatabase]) -> None:
    toy.rewrite(
        "alpha",
        "safe.create_index_concurrently('ix', 'step_log', 'step'); "
        "safe.add_constraint_online('step_log', 'c', 'CHECK (backend > 0)'); "
        "safe.set_not_null_online('step_log', 'step')",
    )
    sweep = crash_sweep(at_first, lambda: config(toy), "alpha_2")
    assert sweep.problems == []
    assert sweep.crashes >= sweep.states >= 7


# --- locks


def traced(toy: Toy, database: ServiceDatabase, upgrade: str, lock_class: str = "exclusive-short") -> list[str]:
    toy.rewrite("alpha", upgrade)
    with psycopg.connect(database.owner_url, autocommit=True) as session:
        session.execute("INSERT INTO step_log SELECT 'row ' || n FROM generate_series(1, 1000) AS n")
    return trace_locks(database, config(toy), "alpha_2").problems(lock_class)  # type: ignore[arg-type]


def test_a_lock_that_is_held_too_long_in_a_transaction_is_named(
    toy: Toy, at_first: Callable[[], ServiceDatabase]
) -> None:
    slow = 'op.execute("ALTER TABLE step_log ADD COLUMN more int"); op.execute("SELECT pg_sleep(0.3)")'
    found = traced(toy, at_first(), slow)
    assert len(found) == 1
    assert found[0].startswith("step_log is under AccessExclusiveLock for 3")
    assert "ADD COLUMN more" in found[0]


def test_a_lock_that_is_held_too_long_by_one_statement_is_named(
    toy: Toy, at_first: Callable[[], ServiceDatabase]
) -> None:
    slow = (
        'with op.get_context().autocommit_block(): op.execute("DO $$ BEGIN'
        ' LOCK TABLE step_log IN SHARE MODE; PERFORM pg_sleep(0.3); END $$")'
    )
    assert "step_log is under ShareLock for 3" in traced(toy, at_first(), slow)[0]


def test_a_rewrite_is_named_however_short(toy: Toy, at_first: Callable[[], ServiceDatabase]) -> None:
    found = traced(
        toy, at_first(), 'op.execute("ALTER TABLE step_log ADD COLUMN at timestamptz DEFAULT clock_timestamp()")'
    )
    assert found == ["step_log is rewritten"]


def test_a_lock_stronger_than_declared_is_named(toy: Toy, at_first: Callable[[], ServiceDatabase]) -> None:
    found = traced(toy, at_first(), 'op.execute("ALTER TABLE step_log ADD COLUMN more int")', "row")
    assert found == [
        "step_log is under AccessExclusiveLock, but row was declared: ALTER TABLE step_log ADD COLUMN more int"
    ]


def test_of_several_runs_the_shortest_lock_counts_and_the_strongest_and_every_rewrite() -> None:
    quick = Trace((Held("a", "ShareLock", 150, "x"), Held("b", "ShareLock", 300, "y")), ())
    slow = Trace((Held("a", "AccessExclusiveLock", 900, "z"), Held("b", "ShareLock", 260, "y")), ("a",))
    assert shortest([quick]).problems("share") == quick.problems("share")
    assert shortest([quick, slow]).problems("share") == [
        "a is rewritten",
        "a is under AccessExclusiveLock, but share was declared: z",
        "b is under ShareLock for 260 ms: y",
    ]


def test_a_branch_is_refused_by_the_plan(toy: Toy) -> None:
    write_revision(toy.root, "alpha", "alpha_x", "alpha_1", "pass", "pass")
    with pytest.raises(PlanError, match="no one line"):
        lint(toy.plan, toy.root)
