"""OpenAI's audio API: transcriptions and translations from multipart forms, and the list of models.

Source: openapi.yaml of openai/openai-openapi, and the types of the `openai` package.
`fields`, `parameters` and `render` are pure functions of values.
"""
