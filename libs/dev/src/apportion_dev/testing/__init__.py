"""What the tests of every service share: real PostgreSQL and NATS servers and databases to throw away."""
