"""The model: its weights, its tokens and its forward pass. Knows tensors; knows no files of audio and no HTTP."""
