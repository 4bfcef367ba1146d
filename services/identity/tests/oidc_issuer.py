"""An OIDC issuer on this machine, whose keys and tokens a test makes as it wants them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import jwt
from apportion_identity.adapters.issuer_keys import OidcIssuer
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
CLIENT_ID = "apportion-client"


class LocalIssuer:
    """An OIDC issuer on this machine: it serves its keys over HTTP and signs what a test wants."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.asked = 0
        self.status = 200
        self.body: bytes | None = None
        self.location: str | None = None
        self.rsa = rsa.generate_private_key(65537, 2048)
        self.ec = ec.generate_private_key(ec.SECP256R1())
        self.ed = ed25519.Ed25519PrivateKey.generate()
        self.published: dict[str, Any] = {"rsa-1": self.rsa, "ec-1": self.ec, "ed-1": self.ed}
        self.address = f"http://127.0.0.1:{server.server_address[1]}/keys"
        self.config = OidcIssuer("https://accounts.test", self.address, CLIENT_ID)

    def jwks(self) -> bytes:
        algorithms = {
            rsa.RSAPrivateKey: jwt.algorithms.RSAAlgorithm,
            ec.EllipticCurvePrivateKey: jwt.algorithms.ECAlgorithm,
        }
        keys = []
        for kid, private in self.published.items():
            kind: Any = next((a for k, a in algorithms.items() if isinstance(private, k)), jwt.algorithms.OKPAlgorithm)
            keys.append({**json.loads(kind.to_jwk(private.public_key())), "kid": kid, "use": "sig"})
        return json.dumps({"keys": keys}).encode()

    def claims(self, now: datetime = NOON, **changes: Any) -> dict[str, Any]:
        """Claims of a good token of somebody; a change to None leaves one out."""
        now_s = int(now.timestamp())
        claims = {
            "iss": self.config.issuer,
            "aud": CLIENT_ID,
            "sub": "subject-of-ann",
            "iat": now_s,
            "exp": now_s + 600,
            "email": "ann@acme.example",
            "email_verified": True,
            "amr": ["pwd", "otp"],
        } | changes
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, *, kid: str = "rsa-1", algorithm: str = "RS256", key: Any = None, **changes: Any) -> str:
        """A token signed with a key that is published, or with another one."""
        signing = key if key is not None else self.published[kid]
        return jwt.encode(self.claims(**changes), signing, algorithm=algorithm, headers={"kid": kid})


@contextmanager
def local_issuer() -> Iterator[LocalIssuer]:
    """An issuer that answers until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        issuer: ClassVar[LocalIssuer]

        def do_GET(self) -> None:
            issuer = self.issuer
            issuer.asked += 1
            body = issuer.jwks() if issuer.body is None else issuer.body
            self.send_response(issuer.status)
            if issuer.location is not None:
                self.send_header("Location", issuer.location)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Handler.issuer = LocalIssuer(server)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield Handler.issuer
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
