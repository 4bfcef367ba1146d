"""`apportion-migrate`: the services' schema changes, seeds and data migrations in the plan's order."""
