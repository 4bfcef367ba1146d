"""A usage file on its way into metering: rows, events, batches per lane worker, a checkpoint."""
