"""Schema changes: one Alembic environment per service, one ordered plan, one conductor that carries it out."""
