"""`GET /models/{model}/schema`: what DeepInfra's pages call Input Schema and Output Schema.

The path is below OpenAI's list of models, which has it too, for a model of such a name: the route comes first.
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hf_asr_endpoint.api.deepinfra.description import ABOUT, MODEL_PATH, TITLE, input_schema, output_schema
from hf_asr_endpoint.api.deepinfra.errors import ERROR_FORMAT
from hf_asr_endpoint.api.described import ADDRESS, AUDIO_FILE, JSON, ApiDescription, Content, Operation
from hf_asr_endpoint.api.errors import error_response
from hf_asr_endpoint.api.field_schemas import Schema
from hf_asr_endpoint.api.paths import DialectPaths, get
from hf_asr_endpoint.api.responses import render_response
from hf_asr_endpoint.api.served_model import ServedModels
from hf_asr_endpoint.errors import UnknownModel

ENDPOINT = get("/models/{model:path}/schema", "schema")

_ANSWER: Schema = {
    "type": "object",
    "title": "ModelSchemas",
    "properties": {
        "input_schema": {"type": "object", "description": "The JSON Schema of a request's fields."},
        "output_schema": {"type": "object", "description": "The JSON Schema of an answer."},
    },
    "required": ["input_schema", "output_schema"],
}


class ModelSchemas:
    """Serves the schemas, which are the same for each model."""

    paths = DialectPaths(name="schemas of models", main_path="", prefixes=())
    error_format = ERROR_FORMAT

    def __init__(self, *, models: ServedModels) -> None:
        self._models = models

    def routes(self) -> list[Route]:
        return [Route(ENDPOINT.path, self.schema, methods=[ENDPOINT.method])]

    def describe(self) -> ApiDescription:
        return ApiDescription(
            title=TITLE,
            about=ABOUT,
            endpoints=(ENDPOINT,),
            operations={
                "schema": Operation(
                    summary="The schemas of a model",
                    about="What DeepInfra's pages call Input Schema and Output Schema.",
                    path_fields={"model": MODEL_PATH},
                    answers={JSON: Content(schema=_ANSWER)},
                    errors=(UnknownModel,),
                    curl=f"curl {ADDRESS}/models/whisper-1/schema",
                )
            },
        )

    async def schema(self, request: Request) -> Response:
        """Return the schemas."""
        try:
            self._models.find(request.path_params["model"])
        except UnknownModel as exc:
            return error_response(exc, ERROR_FORMAT)
        return await render_response(model_schemas)


def model_schemas() -> dict[str, Any]:
    """Return the body."""
    return {"input_schema": input_schema(AUDIO_FILE, "Input"), "output_schema": output_schema()}
