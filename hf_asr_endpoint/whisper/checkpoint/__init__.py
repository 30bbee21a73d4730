"""From what `--model` says to a model's configuration, tensors and tokenizer. Knows files; computes nothing."""
