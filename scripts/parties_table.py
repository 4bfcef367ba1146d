"""Write docs/parties.md: what each inside party may do, from the tables that servers and tests are made from.

`python -m scripts.parties_table` writes the page; with `--check` it fails when the page says something else.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from apportion.options.v1 import options_pb2
from apportion_common.bus.accounts import stream_account, user_account
from apportion_common.bus.rights import RIGHTS, Rights
from apportion_common.settings import SERVICES
from apportion_common.topology import STREAMS

from scripts.status_table import descriptor

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "parties.md"
DATABASE_RIGHTS = ROOT / "deploy" / "database-rights.toml"

HEAD = """\
# What each inside party may do

Each service has a user of the bus, a role in its own database and a token of its own, and none of them can do more than
its job. This page is written by `make docs` from the tables that the servers are configured from; tests try everything
that is not in them, user by user, statement by statement and RPC by RPC.
"""

BUS = """
## On the bus

Permissions of users who share an account would not keep them apart: a server sends an answer to whatever reply subject
a request names, and what a consumer delivers to whatever subject the consumer names. So each stream has a NATS account
of its own, each user has one, and only what this table says leads from one to the other. Inboxes are private
(`_INBOX_<user>`). Nobody but `stream-admin` makes, changes, empties or deletes a stream; services that find one missing
say `STREAM_MISSING` and wait.

`python -m apportion_common.bus accounts` prints the accounts for the servers' configuration, with passwords as
variables of the servers' environment (`$NATS_PASSWORD_LEDGER`); the services then have `NATS_API_PREFIX=bus.api`.
`python -m apportion_common.bus make-streams`, run as `stream-admin` before the services start, makes the streams. The
local stack does both at every start. Where a deployment has streams in one account already, its servers are stopped and
each stream's folder `jetstream/$G/streams/NAME` moves to `jetstream/STREAM_NAME/streams/NAME` before they start with
the accounts, or lanes stop with `STREAM_REWOUND`.

| user | account | publishes | reads | takes and acknowledges | looks up last messages | administers |
| --- | --- | --- | --- | --- | --- | --- |
"""

STREAMS_HEAD = """
| stream | account | subjects |
| --- | --- | --- |
"""

CALLS = """
## Between services

The token of one of the platform's own services (subject `service:<name>`) opens the RPCs that name the service as a
caller in their contract, and those for anyone; whatever else it calls is refused with `SERVICE_FORBIDDEN`. Accounts
that an operator made (`service_account:<id>`) keep what their roles open. identity signs tokens, so whoever has its
signing key can sign one of any account; that is what the key is.

| RPC | callers |
| --- | --- |
"""

DATABASES = """
## In the databases

The role `<service>_app` connects to its own database alone and owns nothing; `<service>_owner` migrates and is used by
nothing that runs. Partitions are worked on through their parents. Kept in
[deploy/database-rights.toml](../deploy/database-rights.toml).

| service | rights | tables |
| --- | --- | --- |
"""


def _names(texts: Iterator[str]) -> str:
    return ", ".join(f"`{text}`" for text in texts)


def _bus_row(user: str, rights: Rights) -> str:
    cells = (
        _names(subject for _, subject in rights.publishes),
        _names(stream.name for stream in rights.reads),
        _names(f"{consumed.subject} by {consumed.name}" for consumed in rights.consumes),
        _names(stream.name for stream in rights.recovers),
        _names(stream.name for stream in rights.administers),
    )
    return f"| {user} | `{user_account(user)}` | {' | '.join(cells)} |\n"


def _call_rows() -> Iterator[str]:
    for service in SERVICES:
        for method in descriptor(service).methods:
            extensions: Any = method.GetOptions().Extensions
            callers = list(extensions[options_pb2.callers])
            if callers:
                yield f"| {service} `{method.name}` | {', '.join(callers)} |\n"


def _database_rows() -> Iterator[str]:
    declared = tomllib.loads(DATABASE_RIGHTS.read_text(encoding="utf-8"))
    for service in SERVICES:
        tables: dict[str, str] = declared[service]["tables"]
        for rights in sorted(set(tables.values())):
            held = _names(table for table, own in tables.items() if own == rights)
            yield f"| {service} | {rights or 'none'} | {held} |\n"
        for function in declared[service]["functions"]:
            yield f"| {service} | EXECUTE | `{function}` |\n"


def document() -> str:
    """Return the whole page."""
    return "".join(
        [
            HEAD,
            BUS,
            *(_bus_row(user, rights) for user, rights in RIGHTS.items()),
            STREAMS_HEAD,
            *(f"| {spec.name} | `{stream_account(spec)}` | {_names(iter(spec.subjects))} |\n" for spec in STREAMS),
            CALLS,
            *_call_rows(),
            DATABASES,
            *_database_rows(),
        ]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail when docs/parties.md is not what the tables say")
    args = parser.parse_args()
    text = document()
    if args.check:
        if DOCUMENT.exists() and DOCUMENT.read_text(encoding="utf-8") == text:
            return 0
        print("docs/parties.md is not what the tables say; run `make docs`.")
        return 1
    DOCUMENT.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
