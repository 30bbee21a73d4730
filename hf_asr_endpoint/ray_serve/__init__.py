"""The server on Ray Serve: HTTP replicas without a model, and engine replicas without HTTP.

Everything is what a single server has: `application` deploys it, `http` runs the same ASGI application around
`transcriber`, a Transcriber that hands recordings to `engine`, which loads a model as ever. `audio` is how a
recording gets there, and `board` is where engines say how they are. `serve run hf_asr_endpoint.ray_serve:app`.
"""

from hf_asr_endpoint.ray_serve.application import app

__all__ = ["app"]
