"""Forced alignment: where in a window each token of a known text was spoken.

Knows tokens and attention weights; knows no words and no text.
"""
