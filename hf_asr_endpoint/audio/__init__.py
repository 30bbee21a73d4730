"""Encoded bytes to a waveform, a waveform to chunks of speech and to mel frames.

Knows no tokens, no speech models and no HTTP.
"""
