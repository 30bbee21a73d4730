"""Parameters of other servers and programs that leave no choice here.

A value that asks for what is done anyway is accepted; any other is refused by name, with the reason. Knows nothing
of the dialects, which add their own to the table that all of them share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hf_asr_endpoint.api.values import is_null, number_of, plain, switch_of
from hf_asr_endpoint.errors import UnsupportedParameter, UnsupportedValue
from hf_asr_endpoint.messages import show_value

SPEAKERS = "speakers are not distinguished"
SILENCE = "silence is always skipped"
FILES = "URLs are not opened; send the file"
LENGTH = "the length of the text follows from the audio"


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedParameter:
    """accepts: whether a value that is not null asks for what is done anyway. Null, in any spelling, always does.

    allowed: these values in words; empty: there are none. reason: why others are refused.
    """

    accepts: Callable[[object], bool]
    allowed: str = ""
    reason: str = ""

    def check(self, name: str, value: object) -> None:
        """Raise UnsupportedValue or UnsupportedParameter for a value, of JSON or a text, that asks for another."""
        if is_null(value) or self.accepts(value):
            return
        if not self.allowed:
            raise UnsupportedParameter(
                f"{name} is not supported here: {self.reason}; allowed: null, or to omit it", parameter=name
            )
        raise UnsupportedValue(
            f"{name} is {show_value(value)}, but {self.reason}; allowed: {self.allowed}", parameter=name
        )


Fixed = Mapping[str, FixedParameter]
"""Fixed parameters by their names."""


def only(*values: bool | float | str, reason: str) -> FixedParameter:
    """Return a parameter that may only have one of some values, in any spelling."""

    def accepts(given: object) -> bool:
        if isinstance(given, str) and given.lstrip()[:1] == "[":
            given = given.strip("[] ").split(",")
        if isinstance(given, list):
            return all(any(_equals(item, value) for value in values) for item in given)
        return any(_equals(given, value) for value in values)

    shown = ("true" if value is True else "false" if value is False else f"{value}" for value in values)
    return FixedParameter(accepts=accepts, allowed=" or ".join(shown), reason=reason)


def nothing(reason: str) -> FixedParameter:
    """Return a parameter that may have no value."""
    return FixedParameter(accepts=lambda _: False, reason=reason)


def anything() -> FixedParameter:
    """Return a parameter that asks nothing of the result, such as a label of the request."""
    return FixedParameter(accepts=lambda _: True)


def count(reason: str) -> FixedParameter:
    """Return a parameter that may be any whole number: it asks how, and never for another result."""

    def accepts(given: object) -> bool:
        number = number_of(given)
        return number is not None and number >= 0 and number == int(number)

    return FixedParameter(accepts=accepts, allowed="a whole number of 0 or more", reason=reason)


def _equals(given: object, value: bool | float | str) -> bool:
    if isinstance(value, bool):
        return switch_of(given) is value
    if isinstance(value, str):
        return isinstance(given, str) and plain(given).casefold() == value
    return number_of(given) == value


SHARED: Fixed = {
    **dict.fromkeys(
        ("diarize", "diarization", "enable_diarization", "enable_speaker_diarization", "speaker_labels"),
        only(False, reason=SPEAKERS),
    ),
    **dict.fromkeys(("known_speaker_names", "known_speaker_references"), nothing(SPEAKERS)),
    **dict.fromkeys(
        ("num_speakers", "min_speakers", "max_speakers", "speakers_expected"), only(0, 1, reason=SPEAKERS)
    ),
    **dict.fromkeys(("vad", "vad_filter", "use_vad", "enable_vad"), only(True, reason=SILENCE)),
    "vad_parameters": nothing("OpenAI's chunking_strategy sets the detector of speech"),
    "batch_size": count("it does not change the result: the server chooses its batches"),
    "best_of": only(1, reason="here it is 1; the Hugging Face API has it"),
    "suppress_blank": only(True, reason="a text never begins with a blank token"),
    "hallucination_silence_threshold": nothing("silence is skipped before it is decoded"),
    "no_repeat_ngram_size": only(0, reason="text that repeats itself is decoded again instead"),
    "length_penalty": only(1, reason="here it is 1; the Hugging Face API has it"),
    "top_p": only(1, reason="here it is 1; the Hugging Face API has it"),
    "top_k": only(0, -1, reason="here it is off; the Hugging Face API has it"),
    "min_p": only(0, reason="tokens are not filtered by it"),
    **dict.fromkeys(
        ("frequency_penalty", "presence_penalty"), only(0, reason="only repetition_penalty changes probabilities")
    ),
    **dict.fromkeys(("max_tokens", "max_completion_tokens", "max_new_tokens"), nothing(LENGTH)),
    "use_beam_search": only(False, reason="the number of beams chooses it, where the API has one"),
    "include_stop_str_in_output": only(False, reason="special tokens are not shown"),
    "without_timestamps": only(False, reason="segments always have times"),
    **dict.fromkeys(("user", "metadata", "safety_identifier"), anything()),
    "store": only(False, reason="only jobs are stored"),
    **dict.fromkeys(("url", "audio_url", "file_url", "file_id"), nothing(FILES)),
}
"""Names and defaults are those of faster-whisper, whisperX and its servers, speaches, vLLM, Mistral, LemonFox and
LiteLLM. `user` and `metadata` label a request for its sender and ask nothing of the result."""
