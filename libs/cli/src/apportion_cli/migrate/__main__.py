"""`python -m apportion_cli.migrate` is `apportion-migrate`."""

from __future__ import annotations

from apportion_cli.migrate.main import main

main()
