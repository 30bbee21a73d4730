"""The model that the server serves, under every name that a client may give it. Knows nothing of HTTP."""

from __future__ import annotations

from dataclasses import dataclass

from hf_asr_endpoint.errors import UnknownModel
from hf_asr_endpoint.messages import show_value

OPENAI_ALIAS = "whisper-1"
"""OpenAI's name for Whisper, which many clients have built in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """names: the first one is the model's id. revision: the only version that a client may name."""

    names: tuple[str, ...]
    revision: str | None = None

    @property
    def id(self) -> str:
        return self.names[0]

    @property
    def accepted_names(self) -> tuple[str, ...]:
        """All names that clients may use, in the order in which lists show them."""
        return tuple(dict.fromkeys((*self.names, OPENAI_ALIAS)))

    def check(self, name: str, *, version: str | None = None) -> None:
        """Raise UnknownModel for another model or another version of this one.

        version: None and "" mean any.
        """
        allowed = ", ".join(self.accepted_names)
        if name not in self.accepted_names:
            raise UnknownModel(f"the model {show_value(name)} is not served here; allowed: {allowed}")
        if version and version != self.revision:
            revision = "no version" if self.revision is None else repr(self.revision)
            raise UnknownModel(f"the version {show_value(version)} is not served here; allowed: {revision}")
