"""What the service's settings allow."""

from __future__ import annotations

from pathlib import Path

import pytest
from apportion_pricing.settings import Settings


def test_the_gate_cannot_be_overridden_in_production(tmp_path: Path) -> None:
    given = {
        "database_url": "postgresql://pricing_app@localhost/pricing",
        "nats_url": "tls://localhost:4222",
        "nats_user": "pricing",
        "nats_password": "none",
        "grpc_listen": "localhost:0",
        "metrics_listen": "localhost:0",
        "token_issuer": "issuer",
        "token_audience": "audience",
    }
    files = ("tls_cert_file", "tls_key_file", "tls_ca_file", "jwks_file", "service_token_file")
    given |= {name: str(tmp_path / name) for name in files}
    assert Settings(**given, environment="staging", pricing_gate_override="s").pricing_gate_override == "s"  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="PRICING_GATE_OVERRIDE"):
        Settings(**given, environment="production", pricing_gate_override="p")  # type: ignore[arg-type]
