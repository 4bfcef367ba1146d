"""Settings of the identity service, from the environment."""

from __future__ import annotations

from pathlib import Path

from apportion_common.settings import ServiceSettings
from pydantic import Field


class Settings(ServiceSettings):
    """What the identity service needs beside the settings that all services share."""

    database_url: str = Field(
        validation_alias="IDENTITY_DATABASE_URL",
        description="URL of the identity database for the service's own role (postgresql://…).",
        repr=False,
    )
    dns_servers: str = Field(
        default="",
        description="Recursive DNS servers to verify proofs by, host:port separated by commas; empty: the system's.",
    )
    dns_timeout_s: float = Field(
        default=5.0,
        gt=0,
        le=30,
        description="Seconds that one question to the DNS has with all its tries; then the DNS counts as failing.",
    )
    key_encryption_key_file: Path = Field(
        description="File of the keys that seal the signing keys in the database: 32 random bytes each, the one that "
        "seals first, then older ones that still open. Every process of identity is given the same."
    )
    oidc_issuers_file: Path | None = Field(
        default=None,
        description="JSON file of the OIDC issuers whose identity tokens are exchanged: a list of objects with issuer, "
        "jwks_uri and audience, our client id there, and email_domains where one is to be believed about addresses of "
        "those domains alone; no issuers when not set.",
    )
    smtp_listen: str = Field(
        default="",
        description="Address that the SMTP gateway listens on, host:port; empty: mail comes by SubmitVerificationEmail "
        "alone.",
    )
    smtp_hostname: str = Field(
        default="",
        description="Name that the SMTP gateway greets with, which its certificate and the MX record of the claims' "
        "mail domain should carry; empty: that domain itself.",
    )
    claim_mail_domain: str = Field(
        min_length=3,
        max_length=190,
        pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$",
        description="Domain of the addresses that prove claims; its MX record leads to the SMTP gateway.",
    )
    proof_key_file: Path = Field(
        description="File of the key that proofs are sealed with, 32 random bytes: every process of identity is given "
        "the same, and it stays, for a message that proved before is recognised by it."
    )
