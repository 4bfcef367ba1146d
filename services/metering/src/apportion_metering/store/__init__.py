"""The metering database, one class a subject."""
