"""Transcriptions that outlive the request that asked for them, and the process too.

A job is kept on disk from before its acceptance is answered until its result has been delivered and its time
is up. Knows audio files, options and results; knows no dialect: each hands in a `JobKind`.
"""
