"""From a waveform and options to timestamped text. Knows seconds and text; knows no HTTP."""
