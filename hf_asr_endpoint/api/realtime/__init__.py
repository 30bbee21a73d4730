"""OpenAI's Realtime API for transcription: a WebSocket on which audio goes in and text comes out.

`schema` and `configuration` read what a client wants; `messages` reads its events; `rendering` writes ours;
`conversation` carries both between the socket and a `LiveStream`; `secrets` and `api/live_sessions` know who may
open how many. Transcription only: no responses, no voices, no WebRTC.
"""
