"""Rules without a database, a wire or a clock."""
