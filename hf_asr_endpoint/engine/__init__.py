"""Continuous batching: which sequences advance when.

Knows token ids, slots and the order of work; knows no text, no seconds and no tensors.
"""
