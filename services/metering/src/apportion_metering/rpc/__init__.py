"""MeteringService: requests to values, values to responses."""
