"""Use cases: each opens its transactions and returns values."""
