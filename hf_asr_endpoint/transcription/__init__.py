"""From a waveform and options to timestamped text: preparation of audio, long form, fallback, segments and words.

Knows seconds and text; knows no HTTP and no files.
"""
