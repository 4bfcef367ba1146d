"""What takes from NATS."""
