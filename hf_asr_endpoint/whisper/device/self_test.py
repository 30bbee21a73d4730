"""A text that is decoded before the first request: does the device compute what torch's operators do?

A driver too old for a kernel's code gave others empty transcripts and no error.
"""

from __future__ import annotations

import torch

from hf_asr_endpoint.decoding_options import MODELS_OWN_TOKENS, DecodingOptions
from hf_asr_endpoint.errors import ModelUnavailable
from hf_asr_endpoint.whisper.decoding.state import AttemptRules, DecoderPrompt, DecodingState
from hf_asr_endpoint.whisper.device.device_speech_model import DeviceSpeechModel

N_FRAMES = 200
N_PREVIOUS = 5  # tokens before start-of-transcript
MAX_STEPS = N_PREVIOUS + 3  # the prompt, and one that is read late
MAX_DIFFERENCE = 0.25  # of log-probabilities; bfloat16 has shown 0.14 (root mean square of logits)


def check_device(model: DeviceSpeechModel, *, sot: int, n_mels: int) -> None:
    """Compare a token from steps, as captured, with the same from one pass of torch's operators.

    Raises ModelUnavailable when they differ.
    """
    noise = torch.rand((n_mels, N_FRAMES), generator=torch.Generator().manual_seed(0)) * 2 - 1
    prompt = DecoderPrompt(tokens=(*range(1, 1 + N_PREVIOUS), sot), sot_index=N_PREVIOUS)
    by_steps, by_pass = (
        DecodingState(prompt=prompt, rules=AttemptRules(options=options, max_new_tokens=1))
        for options in (DecodingOptions(), DecodingOptions(suppress_tokens=(MODELS_OWN_TOKENS,)))
    )
    for state in (by_steps, by_pass):
        model.encode({0: noise})
        model.prefill({0: state})
        for _ in range(MAX_STEPS):  # Kernels that do nothing would never end the text.
            if not state.is_finished:
                model.decode_step({0: state})
        model.free(0)
    found, expected = ((*state.logprobs, state.no_speech_prob) for state in (by_steps, by_pass))
    is_close = len(found) == len(expected) and all(
        abs(one - other) <= MAX_DIFFERENCE for one, other in zip(found, expected, strict=True)
    )
    if not is_close:  # NaN is close to nothing.
        raise ModelUnavailable(
            f"the device computes wrongly: a token's log-probability is {by_steps.logprobs} by steps and "
            f"{by_pass.logprobs} by torch's operators; update its driver, or choose device cpu"
        )
