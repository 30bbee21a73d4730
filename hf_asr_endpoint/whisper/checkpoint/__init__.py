"""Opens a model: from the value of `--model` to the model's configuration, tensors and tokenizer.

Knows where weights come from and which files contain them. Runs no layer; knows nothing of audio or HTTP.
Start reading at `weights/resolve.py`, which finds the files, and `loader.py`, which opens them.
"""
