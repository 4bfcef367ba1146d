"""What reaches out of the service, but for its own database."""
