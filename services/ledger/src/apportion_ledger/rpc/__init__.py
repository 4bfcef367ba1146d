"""The RPCs: messages to values, a use case, values to messages."""
