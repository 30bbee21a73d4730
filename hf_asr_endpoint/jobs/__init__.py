"""Transcription jobs: work that outlives the request that submitted it, and the server process.

A job is safe on disk before its request is answered. It stays there until its result has been delivered and its
retention time is over. This package knows audio files, options and results. It does not know the dialects: each of
them passes in a `JobKind`, which parses and renders its jobs.
"""
