"""The NATS servers' accounts, written from the table of rights."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from typing import Final

from apportion_common.bus.rights import RIGHTS, Grant, grants_of, inbox_prefix
from apportion_common.topology import STREAMS, StreamSpec

ANSWERS_THRESHOLD: Final = "10m"
"""How long the server keeps the way back of a request with many answers that has got none; a reader's request stays
open for 2 minutes, with a sign of life every 15 seconds."""


def stream_account(stream: StreamSpec) -> str:
    """Return the name of the account that holds a stream, and nothing else."""
    return f"STREAM_{stream.name}"


def user_account(user: str) -> str:
    """Return the name of a user's account."""
    return user.upper().replace("-", "_")


def password_variable(user: str) -> str:
    """Return the variable of the servers' environment that holds a user's password."""
    return f"NATS_PASSWORD_{user_account(user)}"


def accounts_configuration(passwords: Mapping[str, str]) -> str:
    """Return the `accounts` block of the servers' configuration; each password as its text is to stand there.

    A password may be a variable of the server's environment, such as `$NATS_PASSWORD_LEDGER`; else it is a quoted text.
    Raises KeyError for a user of the table without a password.
    """
    grants = {user: grants_of(rights) for user, rights in RIGHTS.items()}
    lines = ["accounts {"]
    for stream in STREAMS:
        lines += _stream_lines(stream, grants)
    for user, own in grants.items():
        lines += _user_lines(user, passwords[user], own)
    return "\n".join([*lines, "}"])


def _stream_lines(stream: StreamSpec, grants: Mapping[str, tuple[Grant, ...]]) -> list[str]:
    """Return a stream's account, which lets each user's account have what the user may do."""
    takers: dict[Grant, list[str]] = defaultdict(list)
    for user, own in grants.items():
        for grant in own:
            if grant.stream == stream:
                takers[grant].append(user_account(user))
    lines = [f"  {stream_account(stream)} {{", "    jetstream: enabled", "    exports: ["]
    for grant, accounts in takers.items():
        many = f', response_type: "Stream", response_threshold: "{ANSWERS_THRESHOLD}"' if grant.streams_answers else ""
        lines.append(f"      {{ service: {json.dumps(grant.subject)}, accounts: [{', '.join(accounts)}]{many} }}")
    return [*lines, "    ]", "  }"]


def _user_lines(user: str, password: str, grants: tuple[Grant, ...]) -> list[str]:
    """Return a user's account: the user, what it may send to and hear, and where that leads."""
    inbox = f"{inbox_prefix(user)}.>"
    # Processes of one service answer each other there.
    sends = json.dumps(sorted({grant.local_subject for grant in grants} | {inbox}))
    hears = json.dumps([inbox])
    lines = [
        f"  {user_account(user)} {{",
        "    users: [",
        f"      {{ user: {json.dumps(user)}, password: {password},",
        f"        permissions: {{ publish: {{ allow: {sends} }}, subscribe: {{ allow: {hears} }} }} }}",
        "    ]",
        "    imports: [",
    ]
    for grant in grants:
        source = f"{{ account: {stream_account(grant.stream)}, subject: {json.dumps(grant.subject)} }}"
        lines.append(f"      {{ service: {source}, to: {json.dumps(grant.local_subject)} }}")
    return [*lines, "    ]", "  }"]
