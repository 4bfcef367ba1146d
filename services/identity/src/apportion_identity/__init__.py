"""Apportion's identity service."""
