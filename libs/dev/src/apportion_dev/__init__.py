"""What runs the product on one machine, for development and tests: servers, keys, fixtures."""
