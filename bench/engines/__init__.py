"""The engines that are compared: a small class for each, with one protocol."""
