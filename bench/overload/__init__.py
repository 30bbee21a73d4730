"""Ten times more requests than the server can do, and slow uploads. See `__main__`."""
