"""Apportion's ledger service."""
