"""Forced alignment: finds the time in a window at which each token of a known text is spoken.

Knows tokens and attention weights; knows no words and no text.
"""
