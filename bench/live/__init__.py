"""Live sessions, measured: when words come, and how right they are."""
