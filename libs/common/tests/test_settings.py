"""What a process is told by its environment."""

from __future__ import annotations

from typing import Any

import pytest
from apportion_common.settings import ServiceSettings
from pydantic import Field, ValidationError

PASSWORD = "hunter2-is-secret"


class ToySettings(ServiceSettings):
    database_url: str = Field(validation_alias="TOY_DATABASE_URL", description="The toy's database.", repr=False)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    given = {
        "ENVIRONMENT": "test",
        "TOY_DATABASE_URL": f"postgresql://toy:{PASSWORD}@localhost/toy",
        "NATS_URL": "tls://localhost:4222",
        "NATS_USER": "toy",
        "NATS_PASSWORD": PASSWORD,
        "GRPC_LISTEN": "127.0.0.1:0",
        "METRICS_LISTEN": "127.0.0.1:0",
        "TLS_CERT_FILE": "/tls/toy.pem",
        "TLS_KEY_FILE": "/tls/toy.key",
        "TLS_CA_FILE": "/tls/ca.pem",
        "JWKS_FILE": "/jwks.json",
        "TOKEN_ISSUER": "https://identity.test",
        "TOKEN_AUDIENCE": "apportion",
        "SERVICE_TOKEN_FILE": "/tokens/toy.jwt",
        "LEDGER_ADDRESS": "ledger:443",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return given


def load(**changes: Any) -> ToySettings:
    return ToySettings(**changes)


def test_every_setting_is_described() -> None:
    undescribed = [name for name, field in ServiceSettings.model_fields.items() if not field.description]
    assert undescribed == []


def test_settings_come_from_variables_of_their_names(environment: dict[str, str]) -> None:
    settings = load()
    assert settings.database_url == environment["TOY_DATABASE_URL"]
    assert settings.nats_password.get_secret_value() == PASSWORD
    assert settings.service_name() == "toy"
    assert (settings.lane_lease_s, settings.shutdown_grace_s) == (15, 20)
    assert (settings.database_call_pool_size, settings.database_work_pool_size) == (8, 6)
    assert settings.worker_id.rsplit("-", 1)[1].isdigit()


def test_secrets_show_neither_in_a_repr_nor_in_an_error(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert PASSWORD not in repr(load())
    monkeypatch.setenv("LANE_LEASE_S", PASSWORD)
    with pytest.raises(ValidationError) as refusal:
        load()
    assert "lane_lease_s" in str(refusal.value)
    assert PASSWORD not in str(refusal.value)


def test_a_missing_variable_is_named(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOY_DATABASE_URL")
    with pytest.raises(ValidationError, match="TOY_DATABASE_URL"):
        load()


def test_the_environment_is_production_unless_said_otherwise(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ENVIRONMENT")
    assert load().environment == "production"


def test_fail_points_are_refused_where_customers_are(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAIL_POINT", "ledger_poster.after_execute:3")
    assert load().fail_point == "ledger_poster.after_execute:3"
    for name in ("production", "staging"):
        with pytest.raises(ValidationError, match="only for the environments"):
            load(environment=name)


def test_the_address_of_another_service_must_be_set(environment: dict[str, str]) -> None:
    settings = load()
    assert settings.address_of("ledger") == "ledger:443"
    with pytest.raises(ValueError, match="ORGS_ADDRESS is not set"):
        settings.address_of("orgs")
    with pytest.raises(ValueError, match="There is no service"):
        settings.address_of("database")


def test_settings_without_a_database_variable_name_no_service() -> None:
    with pytest.raises(TypeError, match="DATABASE_URL"):
        ServiceSettings.service_name()
