"""The server's interceptors, one a file, outermost first: metrics_log, errors, deadline, auth, flags, validation."""
