"""Keys of `parameters` and of `generation_parameters` that leave no choice here.

Sources: the arguments of transformers' `AutomaticSpeechRecognitionPipeline` and of Whisper's `generate`, and names
of other Whisper programs.
"""

from __future__ import annotations

from hf_asr_endpoint.api.fixed_parameters import SHARED, Fixed, count, nothing, only

_PERFORMANCE = "it does not change the result"

_ELSEWHERE = (
    "best_of",
    "length_penalty",
    "top_p",
    "top_k",
    "max_new_tokens",
    "metadata",
    "user",
    "safety_identifier",
)
"""Names of SHARED that this API has itself, or that label requests of other APIs only."""

FIXED: Fixed = {
    **{name: parameter for name, parameter in SHARED.items() if name not in _ELSEWHERE},
    # Of the pipeline.
    "stride_length_s": only(0, reason="chunks are cut at silence and do not overlap"),
    "num_workers": count(_PERFORMANCE),
    "ignore_warning": only(True, False, reason=_PERFORMANCE),
    "return_language": only(False, reason="OpenAI's and DeepInfra's paths show the language"),
    "decoder_kwargs": nothing("they are for CTC models"),
    # Of `generate`.
    "assistant_model": nothing("the server runs one model"),
    "begin_suppress_tokens": nothing("the model's own list always applies"),
    "decoder_input_ids": nothing("use prompt, with the previous text"),
    "forced_decoder_ids": nothing("use language and task"),
    "prompt_ids": nothing("use prompt, with text"),
    "prompt_condition_type": only("first-segment", reason="a prompt stands before the first window"),
    "num_return_sequences": only(1, reason="one text is returned"),
    "return_segments": only(False, reason="use return_timestamps, in parameters"),
    "return_token_timestamps": only(False, reason='use return_timestamps: "word", in parameters'),
    **dict.fromkeys(
        ("return_dict_in_generate", "output_scores", "output_logits", "output_attentions", "output_hidden_states"),
        only(False, reason="only text and times are returned"),
    ),
    **dict.fromkeys(("renormalize_logits", "synced_gpus"), only(False, reason="it is off here")),
    "encoder_no_repeat_ngram_size": only(0, reason="it is off here"),
    "guidance_scale": only(1, reason="it is off here"),
    # Of other programs.
    "beam_size": only(1, reason="the number of beams is called num_beams here"),
    "initial_prompt": nothing("use prompt"),
    "log_prob_threshold": only(-1, reason="it is called logprob_threshold here"),
    "word_timestamps": only(False, reason='return_timestamps: "word" asks for words here'),
    "stream": only(False, reason="only OpenAI's paths stream"),
    "condition_on_previous_text": only(False, reason="it is called condition_on_prev_tokens here"),
}
