"""What whoever runs the NATS servers needs: the streams, and the accounts that keep users apart.

    python -m apportion_common.bus make-streams     makes or mends every stream, as the user stream-admin
    python -m apportion_common.bus accounts         prints the accounts for the servers' configuration

`make-streams` reads NATS_URL, NATS_USER, NATS_PASSWORD, NATS_API_PREFIX, TLS_CA_FILE, STREAMS_MIB and
STREAM_REPLICAS. It may be run at every start of a deployment. `accounts` names each password as a variable of the
servers' environment.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence

from apportion_common.bus.accounts import accounts_configuration, password_variable
from apportion_common.bus.administration import AdministrationSettings, make_streams
from apportion_common.bus.rights import RIGHTS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the arguments name; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m apportion_common.bus", description=__doc__)
    parser.add_argument("command", choices=("make-streams", "accounts"))
    if parser.parse_args(arguments).command == "accounts":
        sys.stdout.write(accounts_configuration({user: f"${password_variable(user)}" for user in RIGHTS}) + "\n")
        return 0
    asyncio.run(make_streams(AdministrationSettings.model_validate({})))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
