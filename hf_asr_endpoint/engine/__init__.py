"""Continuous batching: which sequences advance when. Knows token ids and slots; knows no text and no tensors."""
