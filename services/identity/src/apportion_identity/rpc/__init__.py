"""The contract's calls: messages to values, and back."""
