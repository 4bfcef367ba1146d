"""Measurements of the product beside what one would use instead; README.md says how to read them."""
