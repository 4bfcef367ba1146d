"""Traces: how spans are made, carried from process to process, and written."""
