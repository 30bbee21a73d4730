"""Azure's paths, which name a deployment instead of a model.

Whoever makes a deployment chooses its name. `--served-model-names` gives the default model the names that the
clients' deployments have; a deployment of another name is refused like another model.
Source: Azure OpenAI's REST reference, "Transcriptions - Create"; `AzureOpenAI` in openai-python's `lib/azure.py`.
"""

from __future__ import annotations

from starlette.requests import Request

from hf_asr_endpoint.api.served_model import ServedModels
from hf_asr_endpoint.errors import UnknownModel
from hf_asr_endpoint.messages import show_value

MODEL = "model"


def check_deployment(request: Request, models: ServedModels) -> str | None:
    """Return the deployment's name; None on a path that has none. Raises UnknownModel."""
    name: str | None = request.path_params.get(MODEL)
    if name is not None and name not in models.accepted_names:
        raise UnknownModel(
            f"the deployment {show_value(name)} is not served here; allowed: {', '.join(models.accepted_names)}, "
            "and names that the server's setting --served-model-names adds"
        )
    return name


def name_model(
    texts: tuple[tuple[str, str], ...], deployment: str | None, models: ServedModels
) -> tuple[tuple[str, str], ...]:
    """Return a request's fields with the deployment as the model.

    They may name a model as well: AzureOpenAI's clients require one even if they have a deployment of their own,
    and Azure lets the deployment decide. Raises UnknownModel for a model that is not served at all.
    """
    if deployment is None:
        return texts
    for name, text in texts:
        if name == MODEL and text.strip():
            models.find(text.strip())
    return (*(field for field in texts if field[0] != MODEL), (MODEL, deployment))
