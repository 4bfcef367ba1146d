"""What runs on its own, again and again."""
