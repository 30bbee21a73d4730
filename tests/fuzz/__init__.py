"""Mutated audio files and mutated requests, against the decoder and against a real server. Run by `make fuzz`.

Each case depends on a seed and its index alone, so that a failing one can be run again.
"""
