"""Inputs on which Whisper servers usually fail, made from a folder of recordings, and what a server answers."""
