"""Use cases: what pricing does for a caller, each in one transaction."""
