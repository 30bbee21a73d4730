"""The Hugging Face speech-recognition task: raw bytes or `{"inputs", "parameters"}` in, `{"text", "chunks"?}` out.

Source: `packages/tasks/src/tasks/automatic-speech-recognition/spec` in huggingface/huggingface.js.
`inputs`, `parameters` and `render` are pure functions, which handler.py uses without any HTTP.
"""
