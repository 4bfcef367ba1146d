"""Local servers and keys: PostgreSQL, NATS and a certificate authority without Docker and without root.

Nothing here knows a service. Everything listens on 127.0.0.1 only.
"""
