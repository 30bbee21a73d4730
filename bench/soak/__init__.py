"""Many clients of every kind for a long time: whether the server stays right, and of one size. See `__main__`."""
