"""The RPCs: messages in, use case, messages out."""
