"""The model that is served, as the API's paths may name it."""

from __future__ import annotations

from dataclasses import dataclass

from hf_asr_endpoint.api.openai.parameters import accepted_names
from hf_asr_endpoint.errors import UnknownModel


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """names: beside the one that OpenAI's clients know. revision: what `version` may be."""

    names: tuple[str, ...]
    revision: str | None

    def check(self, name: str, *, version: str | None) -> None:
        """Raise UnknownModel for another model, or another version of this one; an empty version is none."""
        names = accepted_names(self.names)
        if name not in names:
            raise UnknownModel(f"the model {name[:100]!r} is not served here; allowed: {', '.join(names)}")
        if version and version != self.revision:
            allowed = "none" if self.revision is None else repr(self.revision)
            raise UnknownModel(f"the version {version[:100]!r} is not served here; allowed: {allowed}")
