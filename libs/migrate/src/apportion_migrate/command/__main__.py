"""`python -m apportion_migrate.command` is `apportion-migrate`."""

from __future__ import annotations

from apportion_migrate.command.main import main

main()
