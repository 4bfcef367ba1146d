"""What reaches outside of the service's own database."""
