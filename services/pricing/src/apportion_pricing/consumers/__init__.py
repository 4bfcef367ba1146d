"""What takes from NATS: the rater of the lanes."""
