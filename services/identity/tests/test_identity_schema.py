"""What the database itself rejects, whoever asks (spec 01, spec 06)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID, uuid4

import psycopg
import pytest
from alembic import command
from apportion_dev.testing.databases import DatabaseFactory, ServiceDatabase
from psycopg import errors

Session = psycopg.Connection[tuple[object, ...]]

ORG = uuid4()
NOW = datetime(2026, 1, 1, tzinfo=UTC)
STATUSES = ("pending", "verified", "revoked", "pending_conflict")
ALLOWED = {
    ("pending", "verified"),
    ("pending", "revoked"),
    ("pending", "pending_conflict"),
    ("pending_conflict", "verified"),
    ("pending_conflict", "revoked"),
    ("verified", "revoked"),
}
WAYS = {
    "pending": ("pending",),
    "pending_conflict": ("pending_conflict",),
    "verified": ("pending", "verified"),
    "revoked": ("pending", "revoked"),
}
"""How a claim comes to a status."""


@pytest.fixture(scope="module")
def identity(database_factory: DatabaseFactory) -> Iterator[ServiceDatabase]:
    database = database_factory.service("identity")
    yield database
    database_factory.drop(database.name)


@pytest.fixture
def app(identity: ServiceDatabase) -> Iterator[Session]:
    """A session of the service's role, whose transaction is rolled back after the test."""
    with psycopg.connect(identity.app_url) as connection:
        yield connection
        connection.rollback()


@pytest.fixture
def owner(identity: ServiceDatabase) -> Iterator[Session]:
    """A session of the database's owner, whose transaction is rolled back after the test."""
    with psycopg.connect(identity.owner_url) as connection:
        yield connection
        connection.rollback()


def claim(session: Session, domain: str = "example.com", status: str = "pending") -> UUID:
    """A claim that has come to a status."""
    claim_id = uuid4()
    first, *rest = WAYS[status]
    session.execute(
        "INSERT INTO domain_claim (claim_id, org_id, domain, status, created_by, created_at, updated_at)"
        " VALUES (%s, %s, %s, %s, 'user:a', %s, %s)",
        (claim_id, ORG, domain, first, NOW, NOW),
    )
    for following in rest:
        move(session, claim_id, following)
    return claim_id


def move(session: Session, claim_id: UUID, status: str) -> None:
    session.execute(
        "UPDATE domain_claim SET status = %s, verified_at = now(), proof = '{}' WHERE claim_id = %s", (status, claim_id)
    )


def invite(session: Session, email: str, token: bytes, **ends: datetime) -> None:
    session.execute(
        "INSERT INTO invitation (invitation_id, org_id, email, role, token_hash, expires_at, consumed_at, revoked_at)"
        " VALUES (%s, %s, %s, 'User', %s, %s, %s, %s)",
        (uuid4(), ORG, email, token, NOW, ends.get("consumed_at"), ends.get("revoked_at")),
    )


def audit(session: Session) -> None:
    session.execute(
        "INSERT INTO audit_entry (audit_id, actor, action, resource) VALUES (%s, 'a', 'b', 'c')", (uuid4(),)
    )


@pytest.mark.parametrize(("before", "after"), itertools.product(STATUSES, STATUSES))
def test_a_claim_goes_only_where_the_rules_let_it(owner: Session, before: str, after: str) -> None:
    claim_id = claim(owner, status=before)
    if before == after or (before, after) in ALLOWED:
        move(owner, claim_id, after)
    else:
        with pytest.raises(errors.CheckViolation, match=f"does not go from {before} to {after}"):
            move(owner, claim_id, after)


@pytest.mark.parametrize("status", ["verified", "revoked"])
def test_a_claim_begins_as_pending_or_in_conflict(owner: Session, status: str) -> None:
    with pytest.raises(errors.CheckViolation, match="does not begin"):
        owner.execute(
            "INSERT INTO domain_claim (claim_id, org_id, domain, status, verified_at, proof, created_by, created_at,"
            " updated_at) VALUES (%s, %s, 'example.com', %s, now(), '{}', 'user:a', now(), now())",
            (uuid4(), ORG, status),
        )


def test_the_transition_rule_holds_in_a_replica_session_too(database_factory: DatabaseFactory) -> None:
    database = database_factory.service("identity")
    with psycopg.connect(database.owner_url) as session:
        row = session.execute("SELECT tgenabled FROM pg_trigger WHERE tgname = 'domain_claim_transition'").fetchone()
        assert row == ("A",)
    database_factory.drop(database.name)


def test_a_claim_keeps_its_domain_and_organisation(app: Session) -> None:
    claim_id = claim(app)
    with pytest.raises(errors.CheckViolation, match="keeps its id, organisation and domain"):
        app.execute("UPDATE domain_claim SET domain = 'example.org' WHERE claim_id = %s", (claim_id,))


@pytest.mark.parametrize("holder", ["pending", "verified"])
def test_a_domain_is_held_once(app: Session, holder: str) -> None:
    claim(app, status=holder)
    with pytest.raises(errors.UniqueViolation, match="ix_domain_claim_held"):
        claim(app)


@pytest.mark.parametrize("earlier", ["revoked", "pending_conflict"])
def test_a_domain_that_is_not_held_can_be_claimed(app: Session, earlier: str) -> None:
    claim(app, status=earlier)
    claim(app)


@pytest.mark.parametrize("domain", ["Example.com", "example.com.", "com", ""])
def test_a_domain_that_is_not_in_its_normal_form_is_rejected(app: Session, domain: str) -> None:
    with pytest.raises(errors.CheckViolation, match="ck_domain_claim_domain"):
        claim(app, domain=domain)


def test_a_claim_is_verified_only_with_a_time_and_a_proof(app: Session) -> None:
    claim_id = claim(app)
    with pytest.raises(errors.CheckViolation, match="ck_domain_claim_verified"):
        app.execute("UPDATE domain_claim SET status = 'verified' WHERE claim_id = %s", (claim_id,))


def test_a_live_invitation_is_unique_in_any_letter_case(app: Session) -> None:
    invite(app, "Ann@example.com", bytes(32))
    with pytest.raises(errors.UniqueViolation, match="ix_invitation_live"):
        invite(app, "ann@EXAMPLE.com", bytes(31) + b"1")


@pytest.mark.parametrize("end", ["consumed_at", "revoked_at"])
def test_a_person_can_be_invited_again_after_the_last_invitation_ended(app: Session, end: str) -> None:
    invite(app, "ann@example.com", bytes(32), **{end: NOW})
    invite(app, "ann@example.com", bytes(31) + b"1")


def test_an_invitation_has_one_end(app: Session) -> None:
    with pytest.raises(errors.CheckViolation, match="ck_invitation_one_end"):
        invite(app, "ann@example.com", bytes(32), consumed_at=NOW, revoked_at=NOW)


def test_a_token_is_stored_as_a_hash_of_32_bytes(app: Session) -> None:
    with pytest.raises(errors.CheckViolation, match="ck_invitation_token_hash"):
        invite(app, "ann@example.com", b"the token itself")


def test_an_address_belongs_to_one_user_in_any_letter_case(app: Session) -> None:
    app.execute("INSERT INTO app_user (user_id, email) VALUES (%s, 'Ann@example.com')", (uuid4(),))
    with pytest.raises(errors.UniqueViolation, match="uq_app_user_email"):
        app.execute("INSERT INTO app_user (user_id, email) VALUES (%s, 'ann@example.com')", (uuid4(),))


def test_a_member_is_a_user(app: Session) -> None:
    with pytest.raises(errors.ForeignKeyViolation):
        app.execute("INSERT INTO membership VALUES (%s, %s, 'Owner', 'active')", (ORG, uuid4()))


def test_a_conflict_is_between_two_claims(app: Session) -> None:
    claim_id = claim(app)
    with pytest.raises(errors.CheckViolation, match="ck_claim_conflict_two_claims"):
        app.execute(
            "INSERT INTO claim_conflict (conflict_id, claim_id, against_claim_id, state, opened_at, due_at,"
            " escalations) VALUES (%s, %s, %s, 'open', now(), now() + interval '1 day', 0)",
            (uuid4(), claim_id, claim_id),
        )


@pytest.mark.parametrize(
    "change", ["UPDATE audit_entry SET actor = 'x'", "DELETE FROM audit_entry", "TRUNCATE audit_entry"]
)
def test_an_audit_entry_is_never_changed_by_its_owner_either(owner: Session, change: str) -> None:
    audit(owner)
    with pytest.raises(errors.RestrictViolation):
        owner.execute(change.encode())


@pytest.mark.parametrize("change", ["UPDATE audit_entry SET actor = 'x'", "DELETE FROM domain_claim"])
def test_the_service_may_not_do_what_it_never_does(app: Session, change: str) -> None:
    with pytest.raises(errors.InsufficientPrivilege):
        app.execute(change.encode())


def test_the_service_can_read_the_revision_but_not_set_it(app: Session) -> None:
    assert app.execute("SELECT version_num FROM alembic_version").fetchone() == ("20250920_01_domain_claims_email",)
    with pytest.raises(errors.InsufficientPrivilege):
        app.execute("DELETE FROM alembic_version")


def test_users_of_before_the_plan_survive_the_way_up_down_and_up_again(database_factory: DatabaseFactory) -> None:
    database = database_factory.blank("identity")
    config = database_factory.alembic_config(database)
    command.upgrade(config, "identity_baseline")
    with psycopg.connect(database.owner_url, autocommit=True) as session:
        session.execute("INSERT INTO app_user VALUES (%s, 'Ann@example.com')", (ORG,))
        session.execute("INSERT INTO membership VALUES (%s, %s, 'Owner', 'active')", (ORG, ORG))
        for way, target in (
            (command.upgrade, "head"),
            (command.downgrade, "identity_baseline"),
            (command.upgrade, "head"),
        ):
            way(config, target)
            assert session.execute("SELECT email FROM app_user").fetchall() == [("Ann@example.com",)]
    database_factory.drop(database.name)


def test_two_spellings_of_one_address_stop_the_migration_and_leave_all_as_it_was(
    database_factory: DatabaseFactory,
) -> None:
    database = database_factory.blank("identity")
    config = database_factory.alembic_config(database)
    command.upgrade(config, "identity_baseline")
    with psycopg.connect(database.owner_url, autocommit=True) as session:
        session.execute("INSERT INTO app_user VALUES (%s, 'Ann@example.com'), (%s, 'ann@example.com')", (ORG, uuid4()))
        with pytest.raises(Exception, match="uq_app_user_email"):
            command.upgrade(config, "head")
        assert session.execute("SELECT version_num FROM alembic_version").fetchone() == ("identity_baseline",)
        assert session.execute("SELECT to_regclass('audit_entry')").fetchone() == (None,)
    database_factory.drop(database.name)
