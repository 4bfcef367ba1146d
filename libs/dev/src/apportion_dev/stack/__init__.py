"""The local stack: PostgreSQL, NATS and the five services on one machine, started and ended together."""
