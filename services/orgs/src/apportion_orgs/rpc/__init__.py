"""The contract's methods: messages in, use case, messages out."""
