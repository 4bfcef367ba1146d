"""The apportion command line: client and local stack."""
