"""What the identity service's tests share: with this file here, those in domain/ can import the helpers beside it."""
