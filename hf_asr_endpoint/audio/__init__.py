"""Encoded bytes to a waveform, a waveform to chunks of speech.

Knows no tokens, no speech models and no HTTP.
"""
