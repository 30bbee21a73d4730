"""From what `--model` says to a directory that transformers can load."""
