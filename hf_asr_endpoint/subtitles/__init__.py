"""Transcriptions to subtitles: readable cues, as SubRip (srt) and WebVTT (vtt) files. Pure functions."""
