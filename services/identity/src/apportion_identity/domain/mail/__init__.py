"""Verifying a mail that is to prove a domain: pure code over (message bytes, envelope, DNS answers)."""
