"""Training: the one loop, what feeds it, and what consumes its records."""
