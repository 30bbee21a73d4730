"""Encoded bytes to samples, samples to mel. Knows no tokens, no models and no HTTP."""
