"""`python -m apportion_ledger serve`: the service as one process, configured by its environment."""

from __future__ import annotations

import argparse
import asyncio

from apportion_common.run import run_service

from apportion_ledger.settings import Settings
from apportion_ledger.wiring import build


def main() -> None:
    """Run the command that is named; exits when the service has drained."""
    parser = argparse.ArgumentParser(prog="apportion_ledger", description="The ledger service.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="serve until SIGTERM, then drain and exit 0")
    parser.parse_args()
    # mypy cannot know that settings come from the environment.
    asyncio.run(run_service(Settings(), build))  # type: ignore[call-arg]


if __name__ == "__main__":
    main()
