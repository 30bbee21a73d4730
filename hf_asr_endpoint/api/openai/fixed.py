"""Parameters that OpenAI's paths accept with the values that ask for what is done anyway, and with no others."""

from __future__ import annotations

from hf_asr_endpoint.api.fixed_parameters import SHARED, Fixed, FixedParameter, nothing, only
from hf_asr_endpoint.errors import InvalidParameter
from hf_asr_endpoint.languages import parse_language
from hf_asr_endpoint.types import Task

_BEAMS = "the number of beams is called num_beams here"
_DEEPINFRA = "the DeepInfra and Hugging Face APIs have it"

_FIXED: Fixed = {
    **SHARED,
    **dict.fromkeys(("beam_size", "n"), only(1, reason=_BEAMS)),
    **dict.fromkeys(
        ("condition_on_previous_text", "condition_on_prev_tokens"),
        only(False, reason=f"chunks are decoded side by side here; {_DEEPINFRA}"),
    ),
    "compression_ratio_threshold": only(2.4, reason=f"here it is 2.4; {_DEEPINFRA}"),
    **dict.fromkeys(("logprob_threshold", "log_prob_threshold"), only(-1, reason=f"here it is -1; {_DEEPINFRA}")),
    "no_speech_threshold": only(0.6, reason=f"here it is 0.6; {_DEEPINFRA}"),
    **dict.fromkeys(
        ("temperature_inc", "temperature_increment_on_fallback"),
        only(0.2, reason="here it is 0.2; the DeepInfra API has it"),
    ),
    "suppress_tokens": only("-1", -1, reason=f"the model's own list applies here; {_DEEPINFRA}"),
    **dict.fromkeys(("chunk_length", "chunk_length_s"), only(30, reason=f"here it is 30; {_DEEPINFRA}")),
    "top_logprobs": only(0, reason="other candidates for a token are not shown"),
    "stream_include_usage": only(True, False, reason="the last event always has it"),
    "stream_continuous_usage_stats": only(False, reason="only the last event has the usage"),
    **dict.fromkeys(("webhook", "callback_url"), nothing("POST /v1/jobs takes a webhook")),
    "initial_prompt": nothing("use prompt"),
    "context_bias": nothing("use keywords"),
    "vllm_xargs": nothing("they are vLLM's own"),
    "provider": nothing("requests are not passed on to others"),
}


def fixed_parameters(task: Task) -> Fixed:
    """Return the parameters of a task's path."""
    return {**_FIXED, **_OF_TASK[task]}


def _is_english(value: object) -> bool:
    try:
        return isinstance(value, str) and parse_language(value) == "en"
    except InvalidParameter:
        return False


_OF_TASK: dict[Task, Fixed] = {
    "transcribe": {
        "task": only("transcribe", reason="this path transcribes; /v1/audio/translations translates"),
        "translate": only(False, reason="this path transcribes; /v1/audio/translations translates"),
        "to_language": nothing(
            "the text is in the spoken language; /v1/audio/translations translates into English"
        ),
    },
    "translate": {
        "task": only("translate", reason="this path translates; /v1/audio/transcriptions transcribes"),
        "translate": only(True, reason="this path translates; /v1/audio/transcriptions transcribes"),
        "to_language": FixedParameter(
            accepts=_is_english, allowed="en", reason="Whisper translates into English only"
        ),
    },
}
