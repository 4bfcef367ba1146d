"""Local keys: private files, certificates that verify, tokens with the agreed claims."""

from __future__ import annotations

import json
import socket
import ssl
import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
import pytest
from apportion_common.clock import SystemClock
from apportion_dev.local.keys import LocalCa, TokenSigningKey, mint_token, write_jwks

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def handshake(ca: LocalCa, names: list[str], asked_for: str) -> None:
    """Shake hands with a server whose certificate has those names, as a client that asks for one."""
    issued = ca.issue_server_certificate(names, SystemClock().now(), "server")
    ours, theirs = socket.socketpair()
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(issued.certificate_file, issued.key_file)

    def serve() -> None:
        try:
            server_side.wrap_socket(theirs, server_side=True).close()
        except (ssl.SSLError, OSError):
            theirs.close()

    server = threading.Thread(target=serve)
    server.start()
    try:
        client_side = ssl.create_default_context(cafile=str(ca.certificate_file))
        client_side.wrap_socket(ours, server_hostname=asked_for).close()
    finally:
        ours.close()
        server.join()


def test_a_client_that_trusts_the_authority_accepts_a_server_under_each_of_its_names(tmp_path: Path) -> None:
    ca = LocalCa.create_or_load(tmp_path, SystemClock().now())
    for name in ("localhost", "127.0.0.1"):
        handshake(ca, ["localhost", "127.0.0.1"], name)


def test_a_client_refuses_a_server_under_another_name(tmp_path: Path) -> None:
    ca = LocalCa.create_or_load(tmp_path, SystemClock().now())
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(ca, ["ledger"], "pricing")


def test_private_keys_are_readable_by_their_owner_alone(tmp_path: Path) -> None:
    ca = LocalCa.create_or_load(tmp_path / "tls", NOW)
    issued = ca.issue_server_certificate(["localhost"], NOW, "server")
    TokenSigningKey.create_or_load(tmp_path / "secrets" / "signing.key")
    for file in (tmp_path / "tls" / "ca.key", issued.key_file, tmp_path / "secrets" / "signing.key"):
        assert mode(file) == 0o600
    assert mode(issued.certificate_file) == 0o644


def test_the_authority_is_kept_until_it_is_about_to_end(tmp_path: Path) -> None:
    first = LocalCa.create_or_load(tmp_path, NOW).certificate_file.read_bytes()
    assert LocalCa.create_or_load(tmp_path, NOW + timedelta(days=300)).certificate_file.read_bytes() == first
    assert LocalCa.create_or_load(tmp_path, NOW + timedelta(days=3640)).certificate_file.read_bytes() != first


def test_a_certificate_without_names_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one name"):
        LocalCa.create_or_load(tmp_path, NOW).issue_server_certificate([], NOW, "server")


def test_a_token_verifies_against_the_published_key_set_and_carries_the_agreed_claims(tmp_path: Path) -> None:
    key = TokenSigningKey.create_or_load(tmp_path / "signing.key")
    write_jwks(tmp_path / "jwks.json", [key])
    now = SystemClock().now()
    token = mint_token(
        key.private_key, key.kid, "issuer", "apportion", "user:1", ["Admin"], now=now, ttl_s=60, org_id="o", amr=["pwd"]
    )
    published = jwt.PyJWKSet.from_dict(json.loads((tmp_path / "jwks.json").read_text(encoding="ascii")))
    header = jwt.get_unverified_header(token)
    claims = jwt.decode(token, published[header["kid"]], algorithms=["EdDSA"], audience="apportion", issuer="issuer")
    assert header["alg"] == "EdDSA"
    assert set(claims) == {"iss", "aud", "sub", "iat", "nbf", "exp", "jti", "roles", "org_id", "amr"}
    assert (claims["sub"], claims["roles"], claims["org_id"]) == ("user:1", ["Admin"], "o")
    assert claims["exp"] - claims["iat"] == 60


def test_a_token_without_organisation_has_no_such_claim_and_two_tokens_differ(tmp_path: Path) -> None:
    key = TokenSigningKey.create_or_load(tmp_path / "signing.key")
    tokens = [mint_token(key.private_key, key.kid, "i", "a", "s", [], now=NOW, ttl_s=60) for _ in range(2)]
    assert tokens[0] != tokens[1]
    assert "org_id" not in jwt.decode(tokens[0], options={"verify_signature": False})


def test_a_token_must_live(tmp_path: Path) -> None:
    key = TokenSigningKey.create_or_load(tmp_path / "signing.key")
    with pytest.raises(ValueError, match="one second"):
        mint_token(key.private_key, key.kid, "i", "a", "s", [], now=NOW, ttl_s=0)


def test_the_signing_key_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "signing.key"
    assert TokenSigningKey.create_or_load(file).kid == TokenSigningKey.create_or_load(file).kid
