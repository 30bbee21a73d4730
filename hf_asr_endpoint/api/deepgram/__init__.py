"""Deepgram's live API: a WebSocket at `/v1/listen`, on the same sessions as the Realtime API."""
