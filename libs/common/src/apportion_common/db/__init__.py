"""What every service's database code shares: engine, unit of work, audit, idempotency, outbox, head."""
