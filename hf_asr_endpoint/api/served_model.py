"""The models that the server serves, under every name that a client may give them. Knows nothing of HTTP."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hf_asr_endpoint.errors import InvalidSettings, UnknownModel
from hf_asr_endpoint.messages import show_value

OPENAI_ALIAS = "whisper-1"
"""OpenAI's name for Whisper, which many clients have built in. It means the default model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """names: the first one is the model's id. revision: the only version that a client may name."""

    names: tuple[str, ...]
    revision: str | None = None

    @property
    def id(self) -> str:
        return self.names[0]


class ServedModels:
    """All models, the default one first."""

    def __init__(self, models: Sequence[ServedModel]) -> None:
        """Raises InvalidSettings for a name of two models."""
        self._models = tuple(models)
        self._by_name: dict[str, ServedModel] = {}
        for model in self._models:
            for name in model.names:
                if self._by_name.setdefault(name, model) is not model:
                    raise InvalidSettings(f"two models have the name {name!r}; allowed: names of their own")
        self._by_name.setdefault(OPENAI_ALIAS, self.default)

    def __iter__(self) -> Iterator[ServedModel]:
        return iter(self._models)

    @property
    def default(self) -> ServedModel:
        """The model of requests that name none."""
        return self._models[0]

    @property
    def accepted_names(self) -> tuple[str, ...]:
        """All names that clients may use, in the order in which lists show them."""
        return tuple(self._by_name)

    def choose(self, name: str | None, *, version: str | None = None) -> str | None:
        """Return what `TranscriptionOptions.model` is for a name: None for the default model, and for no name.

        Raises UnknownModel, as `find` does.
        """
        model = self.default if name is None else self.find(name, version=version)
        return None if model is self.default else model.id

    def find(self, name: str, *, version: str | None = None) -> ServedModel:
        """Return the model of a name. Raises UnknownModel, also for another version than the model's.

        version: None and "" mean any.
        """
        model = self._by_name.get(name)
        if model is None:
            allowed = ", ".join(self.accepted_names)
            raise UnknownModel(f"the model {show_value(name)} is not served here; allowed: {allowed}")
        if version and version != model.revision:
            revision = "no version" if model.revision is None else repr(model.revision)
            raise UnknownModel(f"the version {show_value(version)} is not served here; allowed: {revision}")
        return model
