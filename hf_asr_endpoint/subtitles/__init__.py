"""Transcriptions to subtitles: cues that can be read in time, as SubRip (srt) and WebVTT (vtt). Pure functions."""
