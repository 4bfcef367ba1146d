"""Apportion's pricing service."""
