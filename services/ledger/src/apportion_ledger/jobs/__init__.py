"""What runs periodically beside the calls."""
