"""Every size of Whisper with random weights: loading, memory, windows and steps, beside CTranslate2.

Random weights are as fast as real ones; their texts are nonsense. Run by `make bench-shapes`.
"""
