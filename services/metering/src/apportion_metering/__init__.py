"""Apportion's metering service."""
