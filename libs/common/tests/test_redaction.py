"""What must not be written down: in logs, audit rows and spans."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from apportion.orgs.v1 import orgs_service_pb2
from apportion_common.logs import configure_logs, get_logger
from apportion_common.redaction import REDACTED, is_sensitive_key, redact, redact_message, redact_text

JWT = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("mail ada.b+c@mail.example.com now", "mail [redacted] now"),
        (f"token {JWT}.", "token [redacted]."),
        ("Authorization: Bearer abcdef0123456789", "Authorization: [redacted]"),
        ("postgresql://toy:hunter2@db:5432/toy", "postgresql://[redacted]@db:5432/toy"),
        ("-----BEGIN PRIVATE KEY-----\nMC4=\n-----END PRIVATE KEY-----\nafter", "[redacted]\nafter"),
        ("-----BEGIN EC PRIVATE KEY-----\nMC4=", "[redacted]"),
        ("sk_live_4242424242424242", "[redacted]"),
        (f"key apk_{'A-b_' * 10}abc of meter", "key [redacted] of meter"),
        (f"inv_{'x' * 43}", "[redacted]"),
        ("seed SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY", "seed [redacted]"),
        ("failed\n[parameters: ('Ada', 5)]\nend", "failed\n[redacted]\nend"),
        ("DETAIL: Key (slug)=(ada) already exists.\nend", "[redacted]\nend"),
    ],
)
def test_secrets_are_known_by_their_look(text: str, seen: str) -> None:
    assert redact_text(text) == seen


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain words",
        "0190b5f2-0000-7000-8000-000000000001",
        "SUPPORT",
        "a @ b",
        "sku EMAIL-SEND",
        "tls://db:5432",
        "10:30",
    ],
)
def test_harmless_text_stays(text: str) -> None:
    assert redact_text(text) == text


def test_long_hostile_text_is_read_in_reasonable_time() -> None:
    assert redact_text("a" * 200_000 + "@") == "a" * 200_000 + "@"
    assert redact_text("@" * 100_000) == "@" * 100_000
    assert redact_text("a." * 100_000) == "a." * 100_000


@pytest.mark.parametrize(
    ("key", "sensitive"),
    [
        ("email", True),
        ("billing_email", True),
        ("billingEmail", True),
        ("rpc.request.metadata.authorization", True),
        ("access_token", True),
        ("api-key", True),
        ("payload", True),
        ("database_url", True),
        ("tax_id", True),
        ("content_hash", False),
        ("token_id", False),
        ("payload_bytes", False),
        ("org_id", False),
        ("tax_rate", False),
        ("sku", False),
        ("partner_key", False),
    ],
)
def test_secrets_are_known_by_their_keys(key: str, sensitive: bool) -> None:
    assert is_sensitive_key(key) is sensitive


def test_nested_values_are_looked_through_and_numbers_stay() -> None:
    value = {"a": [{"email": "x", "tokens": 3}, "ada@example.com"], "raw": b"abc", "deep": None, "ok": True}
    assert redact(value) == {
        "a": [{"email": REDACTED, "tokens": 3}, REDACTED],
        "raw": "[3 bytes]",
        "deep": None,
        "ok": True,
    }
    loop: dict[str, Any] = {}
    loop["again"] = loop
    assert REDACTED in str(redact(loop))


def test_a_message_hides_what_its_contract_calls_sensitive() -> None:
    org = orgs_service_pb2.Org(org_id="o", legal_name="Example", billing_email="nobody", tax_id="51 824")
    assert redact_message(org) == {
        "org_id": "o",
        "legal_name": "Example",
        "billing_email": REDACTED,
        "tax_id": REDACTED,
    }
    inside = redact_message(orgs_service_pb2.CreateOrgResponse(org=org))
    assert "nobody" not in str(inside)
    assert "51 824" not in str(inside)


@pytest.fixture
def logged() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    configure_logs("toy", "INFO")
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_log_line_is_one_json_object_without_secrets(logged: None, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("toy", "INFO")
    log = get_logger("toy.module")
    log.info("sent to ada@example.com", billing_email="ada", nested={"token": "t"}, count=3, url="nats://u:p@h")
    try:
        raise ValueError(f"with {JWT}")
    except ValueError:
        log.exception("failed")
    logging.getLogger("library").warning("by %s", "bob@example.com", extra={"password": "p"})
    log.debug("unseen")
    text = capsys.readouterr().out
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["event"] for line in lines] == ["sent to [redacted]", "failed", "by [redacted]"]
    first = lines[0]
    assert (first["billing_email"], first["nested"], first["count"]) == (REDACTED, {"token": REDACTED}, 3)
    assert (first["level"], first["logger"], first["service"]) == ("info", "toy.module", "toy")
    assert "Traceback" in lines[1]["exception"]
    assert lines[2]["password"] == REDACTED
    for secret in ("ada@", JWT, "bob@", "u:p"):
        assert secret not in text
