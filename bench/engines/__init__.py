"""What is compared: one small class for each engine, all behind one protocol."""
