"""Whisper: weights, tokens, forward pass, decoding, alignment. Knows tensors; knows no audio files and no HTTP."""
