"""What reaches out of the service's own database: the intake stream, and the messages on it."""
