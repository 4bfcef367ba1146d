"""The tables, one store a subject."""
