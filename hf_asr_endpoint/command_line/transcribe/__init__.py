"""`hf-asr transcribe`: many recordings at a time, by the engine in this process or by a server, into files.

`inputs` finds recordings, `outputs` knows their files, `work` does it all, `progress` tells it. The two that make
transcriptions, `engine` and `server`, take the same fields and give the same Transcription.
"""
