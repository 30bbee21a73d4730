"""The API of whisper.cpp's server: `/inference`.

Source: `examples/server/server.cpp` and `examples/server-common.cpp` of https://github.com/ggml-org/whisper.cpp.
"""
