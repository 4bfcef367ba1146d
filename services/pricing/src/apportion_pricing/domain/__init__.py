"""The rules of prices, terms and rating: pure, on values."""
