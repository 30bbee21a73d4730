"""Transcriptions to subtitles: readable cues, and the files that hold them (srt, vtt, ass, lrc, tsv).

Pure functions.
"""
