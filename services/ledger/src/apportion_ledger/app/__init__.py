"""Use cases: each opens its transaction and calls rules and stores."""
