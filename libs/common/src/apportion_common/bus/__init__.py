"""What every service's messaging shares: connection, streams, the outbox relay and durable consumers."""
