"""Apportion's orgs service."""
