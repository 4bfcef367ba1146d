"""The rules, and the values that they take."""
