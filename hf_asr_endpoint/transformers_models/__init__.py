"""Speech recognition models of transformers, whatever their architecture: the second `Transcriber`.

Chunks that are cut at silence go to one thread, which gives the model those of several requests as one batch.
Knows transformers, accelerate and librosa, which are imported when such a model is loaded; knows no HTTP.
"""
