"""What takes from NATS: the lanes of events and receipts, and the answers after a commit."""
