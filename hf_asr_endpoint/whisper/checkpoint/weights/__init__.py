"""Turns the value of `--model` into a local directory in transformers' format: finds, downloads, converts.

Knows sources and file formats. Opens no model: that is `loader.py`, one folder up.
"""
