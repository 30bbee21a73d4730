"""Jobs over HTTP: `POST /v1/jobs`, with the fields of OpenAI's transcriptions, and `/v1/requests/{id}`."""
