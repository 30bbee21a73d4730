"""Decoder prompts of each window: the language, and the previous text on request."""

from __future__ import annotations

from hf_asr_endpoint.decoding_options import DecodingOptions
from hf_asr_endpoint.types import TranscriptionOptions
from hf_asr_endpoint.whisper.checkpoint.tokenizer import WhisperTokenizer
from tests.transcription.scripted import Decoded, Scene, at, chunk

ONE_AFTER_THE_OTHER = TranscriptionOptions(language="en", condition_on_previous_text=True)


def test_the_language_given_is_in_every_prompt(scene: Scene, tokenizer: WhisperTokenizer) -> None:
    options = TranscriptionOptions(language="fr", task="translate")
    results = Decoded((at(0), 7, at(10)))
    scene.run([chunk(10), chunk(10)], results, results, options=options)
    expected = (tokenizer.sot, tokenizer.language_tokens["fr"], tokenizer.task_tokens["translate"])
    assert [state.prompt.tokens for state in scene.model.states] == [expected] * 2


def test_previous_text_is_the_prompt_of_the_next_window(scene: Scene, tokenizer: WhisperTokenizer) -> None:
    script = Decoded((at(0), 7, at(4))), Decoded((at(0), 8, at(4.5))), Decoded((at(0), 9, at(10)))
    scene.run([chunk(10, speech=((0.0, 8.5),)), chunk(10)], *script, options=ONE_AFTER_THE_OTHER)
    bare = (tokenizer.sot, tokenizer.language_tokens["en"], tokenizer.task_tokens["transcribe"])
    first, second, third = (state.prompt for state in scene.model.states)
    assert (first.tokens, first.sot_index) == (bare, 0)
    assert (second.tokens, second.sot_index) == ((tokenizer.sot_prev, at(0), 7, at(4), *bare), 4)
    assert third.tokens == (tokenizer.sot_prev, at(0), 7, at(4), at(0), 8, at(4.5), *bare)


def test_previous_text_is_left_out_by_default(scene: Scene) -> None:
    script = [Decoded((at(0), 7, at(4.5)))] * 2
    scene.run([chunk(10, speech=((0.0, 9.0),))], *script)
    assert [state.prompt.sot_index for state in scene.model.states] == [0, 0]


def test_text_sampled_at_a_high_temperature_is_not_used_as_prompt(scene: Scene) -> None:
    """It used to: what came before it was forgotten, but not the text itself, which misleads the most."""
    decoding = DecodingOptions.from_flat(temperatures=(0.0, 0.8))
    options = TranscriptionOptions(language="en", condition_on_previous_text=True, decoding=decoding)
    unlikely = Decoded((at(0), 66, at(30)), avg_logprob=-1.5)
    script = Decoded((at(0), 7, at(30))), unlikely, Decoded((at(0), 8, at(30))), Decoded((at(0), 9, at(30)))
    scene.run([chunk(30)] * 3, *script, options=options)
    assert [state.rules.temperature for state in scene.model.states] == [0.0, 0.0, 0.8, 0.0]
    assert [state.prompt.sot_index for state in scene.model.states] == [0, 4, 4, 0]


def test_a_long_text_is_cut_to_half_of_what_the_decoder_holds(scene: Scene) -> None:
    script = [Decoded((at(0), *range(1_000 * n, 1_000 * n + 100), at(30))) for n in range(1, 5)]
    scene.run([chunk(30)] * 4, *script, options=ONE_AFTER_THE_OTHER)
    assert [state.prompt.sot_index for state in scene.model.states] == [0, 103, 205, 224]
    assert scene.model.states[-1].rules.max_new_tokens == 448 - 227


def test_a_window_that_repeats_the_one_before_is_decoded_again_without_it(scene: Scene) -> None:
    """DeepInfra's default repeated a sentence four times, because each window copied its prompt."""
    loop = Decoded((at(0), *range(1_000, 1_020), at(10)))
    other = Decoded((at(0), *range(2_000, 2_020), at(10)))
    result = scene.run([chunk(10)] * 3, loop, loop, other, other, other, options=ONE_AFTER_THE_OTHER)
    assert [segment.tokens[1] for segment in result] == [1_000, 2_000, 2_000]
    with_previous = [state.prompt.sot_index > 0 for state in scene.model.states]
    assert with_previous == [False, True, False, True, False], "the recording itself repeats at its end"


def test_a_loop_within_a_window_is_decoded_again_without_the_text_before(scene: Scene) -> None:
    """A higher temperature came first, and half of its random texts left out sentences."""
    first = Decoded((at(0), *range(1_000, 1_020), at(30)))
    loop = Decoded((at(0), *[2_000] * 100, at(30)))
    good = Decoded((at(0), *range(3_000, 3_020), at(30)))
    result = scene.run([chunk(30)] * 2, first, loop, good, options=ONE_AFTER_THE_OTHER)
    assert [segment.tokens[1] for segment in result] == [1_000, 3_000]
    assert [state.rules.temperature for state in scene.model.states] == [0.0, 0.0, 0.0]
    assert [state.prompt.sot_index for state in scene.model.states] == [0, 23, 0]


def test_a_window_that_is_silent_after_the_text_before_is_decoded_again_without_it(scene: Scene) -> None:
    """A word that stands alone in noise drowned in what was said before."""
    first = Decoded((at(0), 7, at(10)))
    drowned = Decoded((at(0), 8, at(10)), avg_logprob=-1.1, no_speech_prob=0.7)
    heard = Decoded((at(0), 9, at(10)), avg_logprob=-0.5, no_speech_prob=0.1)
    result = scene.run([chunk(10)] * 2, first, drowned, heard, options=ONE_AFTER_THE_OTHER)
    assert [segment.tokens[1] for segment in result] == [7, 9]
    assert [state.prompt.sot_index > 0 for state in scene.model.states] == [False, True, False]


def test_silence_without_the_text_before_is_silence(scene: Scene) -> None:
    first = Decoded((at(0), 7, at(10)))
    silent = Decoded((at(0), 8, at(10)), avg_logprob=-1.1, no_speech_prob=0.9)
    without, whole = silent, silent
    result = scene.run([chunk(10)] * 3, first, silent, without, whole, first, options=ONE_AFTER_THE_OTHER)
    assert [segment.tokens[1] for segment in result] == [7, 7]
    assert [state.prompt.sot_index > 0 for state in scene.model.states] == [False, True, False, False, True]
