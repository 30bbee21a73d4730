"""What fields of requests mean, in a sentence each, for the description of the API.

What is allowed is said by the field itself, in its dialect's schema. A dialect in which a name means something
else says so in its own description.
"""

from __future__ import annotations

from collections.abc import Mapping

_CONDITION = "Whether each chunk is decoded behind the one before, with its text as the prompt."
_FILTER = "A filter of sampling, as in transformers; it acts at temperatures above 0."
_MAX_TOKENS = "Most tokens of a window"
_MIN_TOKENS = "Fewest tokens of a window"
_PROMPT = "Text that is taken to come before the audio, for names and spelling."
_WORDS = "Words to expect."

MEANINGS: Mapping[str, str] = {
    "audio_track": "Which audio track of a file. Absent: the default one, else the first with speech.",
    "beam_size": "Beams at temperature 0.",
    "best_of": "Samples of a window at temperatures above 0; the most probable one is kept. Default: 1.",
    "chunk_length_s": "Longest audio that is decoded at once, and so a segment's.",
    "chunk_level": "Whether times are shown for segments only, or for words too.",
    "chunking_strategy": "What counts as speech, and which silence ends a chunk.",
    "compression_ratio_threshold": "A text that zlib compresses by more repeats itself, and is decoded again.",
    "condition_on_prev_tokens": _CONDITION,
    "condition_on_previous_text": _CONDITION,
    "context_bias": _WORDS,
    "detect_language": "Whether to detect the language.",
    "diversity_penalty": "What a token loses for each beam of an earlier group that chose it. Default: 0.5.",
    "do_sample": "Whether tokens are sampled.",
    "early_stopping": "When beam search ends.",
    "encode": "Whether the audio is a file; else it is 16-bit samples at 16,000 Hz.",
    "epsilon_cutoff": _FILTER,
    "eta_cutoff": _FILTER,
    "generation_parameters": "How text is decoded.",
    "highlight_words": "Whether a subtitle marks each word while it is spoken.",
    "hotwords": f"{_WORDS} A text; keywords is a list.",
    "include": "What else to show: the log-probability of each token.",
    "initial_prompt": _PROMPT,
    "keywords": f"{_WORDS} A list; hotwords is a text.",
    "language": "The language spoken. Absent, or auto: detected.",
    "languages": "Languages that may be spoken. Detection is limited to them.",
    "length_penalty": "Beams are ranked by log-probability / length ** this. Default: 1.",
    "logprob_thold": "A text with a lower average log-probability is decoded again.",
    "logprob_threshold": "A text with a lower average log-probability is decoded again.",
    "logprobs": "Whether to show the log-probability of each token.",
    "max_length": f"{_MAX_TOKENS}, with those that name language and task.",
    "max_line_count": "Most lines of a subtitle.",
    "max_line_width": "Most characters in a line of a subtitle.",
    "max_new_tokens": f"{_MAX_TOKENS}.",
    "max_words_per_line": "Most words in a line of a subtitle.",
    "min_length": f"{_MIN_TOKENS}, with those that name language and task.",
    "min_new_tokens": f"{_MIN_TOKENS}.",
    "model": "A name of a model that is served. Absent: the default one.",
    "no_language_probabilities": "Whether verbose_json has no probability of the language.",
    "no_speech_thold": "Above this probability of silence, an improbable text is dropped.",
    "no_speech_threshold": "Above this probability of silence, an improbable text is dropped.",
    "no_timestamps": "Whether verbose_json has no times.",
    "num_beam_groups": "Groups of beams that avoid one another's tokens.",
    "num_beams": "Beams at temperature 0; 1 is greedy.",
    "output": "The format of the answer.",
    "patience": "Beam search collects num_beams × patience texts.",
    "penalty_alpha": "How much contrastive search avoids tokens like those before.",
    "prompt": _PROMPT,
    "repetition_penalty": "Above 1, tokens that were said before become less probable.",
    "response_format": "The format of the answer.",
    "return_timestamps": "Whether to return chunks with times: one for each segment, or for each word.",
    "seed": "Start value of sampling. Equal requests have equal results.",
    "stream": "Whether to send events while the audio is transcribed.",
    "suppress_nst": "Whether tokens that are no speech are never chosen. Absent: true.",
    "suppress_tokens": "Tokens that are never chosen. Absent: the model's own list.",
    "task": "Whether to transcribe, or to translate into English.",
    "temperature": "0: the most probable text, decoded again at higher temperatures if it is bad. Above: sampled.",
    "temperature_inc": "Steps of the temperature, where a text is decoded again.",
    "temperature_increment_on_fallback": "Steps of the temperature, where a text is decoded again.",
    "timestamp_granularities": "Whether verbose_json has times of segments, of words, or of both.",
    "token_timestamps": "Whether words have times. Absent: they do, unless no_timestamps is true.",
    "top_k": _FILTER,
    "top_p": _FILTER,
    "translate": "Whether to translate into English.",
    "typical_p": _FILTER,
    "use_cache": "Changes nothing: the KV cache is always used.",
    "vad_filter": "Changes nothing: silence is always left out, and speech never is.",
    "vad_min_silence_duration_ms": "A silence of this length ends a chunk. Absent: only long ones do.",
    "vad_speech_pad_ms": "What is kept around speech.",
    "vad_threshold": "From which probability on sound is speech.",
    "webhook": "An address to which the result is sent. The request becomes a job, and is answered at once.",
    "word_timestamps": "Whether to show words with times.",
}
