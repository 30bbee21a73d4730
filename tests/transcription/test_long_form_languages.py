"""The language of a recording and of its passages: what is asked, when, and what follows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hf_asr_endpoint.audio.chunking import Chunk
from hf_asr_endpoint.engine.sequence import Request
from hf_asr_endpoint.types import Segment, TranscriptionOptions
from hf_asr_endpoint.units import N_FRAMES
from hf_asr_endpoint.whisper.checkpoint.tokenizer import WhisperTokenizer
from hf_asr_endpoint.whisper.language_scores import PositionSpan
from tests.transcription.scripted import Decoded, Scene, at, chunk, words

DETECTING = TranscriptionOptions()
SPOKEN_S = 12.0  # enough to decide the language
TWO_PARTS = ((0.0, 10.0), (11.0, 21.0))
THREE_PARTS = ((0.0, 8.0), (9.0, 18.0), (19.0, 28.0))


def long_chunk(*, offset_s: float = 0.0) -> Chunk:
    return chunk(SPOKEN_S, offset_s=offset_s, speech=((0.0, SPOKEN_S),))


def text_for(seconds: float, first: int = 0) -> Decoded:
    """Return as much text as is usual for the time."""
    return Decoded((at(0), *[token + first for token in words(round(3 * seconds))], at(seconds)))


def languages_fed(scene: Scene, tokenizer: WhisperTokenizer) -> list[str]:
    codes = {token: code for code, token in tokenizer.language_tokens.items()}
    return [codes[state.prompt.tokens[state.prompt.sot_index + 1]] for state in scene.model.states]


def tokens_of(tokenizer: WhisperTokenizer, *languages: str) -> list[int]:
    return [tokenizer.language_tokens[language] for language in languages]


def test_the_first_chunk_decides_while_the_others_wait(scene: Scene, tokenizer: WhisperTokenizer) -> None:
    n_encoded_at_first_prompt: list[int] = []
    scene.model.on_prefill = lambda: n_encoded_at_first_prompt.append(len(scene.model.frames))
    scene.model.script = [text_for(SPOKEN_S)] * 4
    long_form = scene.long_form(DETECTING)
    assert long_form.language is None
    chunks = [long_chunk(offset_s=20 * n) for n in range(4)]
    assert len(list(scene.feed(long_form, chunks, ramps_up=True))) == 4
    assert long_form.language == "de"
    assert long_form.language_probability == pytest.approx(1, abs=0.1)
    assert n_encoded_at_first_prompt[0] == 1
    assert languages_fed(scene, tokenizer) == ["de"] * 4
    assert len(scene.model.frames) == 4, "what was encoded to be asked is decoded"


def test_a_given_language_is_not_asked_for(scene: Scene) -> None:
    scene.model.script = [text_for(SPOKEN_S)]
    long_form = scene.long_form(TranscriptionOptions(language="fr"))
    list(scene.feed(long_form, [long_chunk()]))
    assert scene.model.asked == []
    assert (long_form.language, long_form.language_probability) == ("fr", None)


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"prompt": "Und das war alles, was er dazu sagen wollte."}, id="a prompt"),
        pytest.param({"hotwords": "Straßenbahn, Äpfel"}, id="hotwords"),
    ],
)
def test_text_in_another_language_does_not_reach_the_question(
    scene: Scene, tokenizer: WhisperTokenizer, given: dict[str, str]
) -> None:
    """It once stood before the place where the language was asked for, and decided it. It is fed later."""
    for options in (DETECTING, replace(DETECTING, **given)):
        scene.model.languages = tokens_of(tokenizer, "fr", "fr")
        scene.request = Request()
        scene.run([chunk(22, speech=TWO_PARTS)], text_for(21), options=options)
    without, with_text = scene.model.asked
    assert without == with_text == (PositionSpan(0, 500), PositionSpan(550, 1_050))
    before, after = (state.prompt for state in scene.model.states)
    assert (before.sot_index, after.sot_index > 0) == (0, True)
    assert languages_fed(scene, tokenizer) == ["fr", "fr"]


def test_several_short_chunks_decide_together(scene: Scene, tokenizer: WhisperTokenizer) -> None:
    """The first says an English word; the German of the others is more. Each is then decoded in German."""
    chunks = [
        chunk(1, speech=((0.0, 0.5),)),
        chunk(6, offset_s=20, speech=((0.0, 5.0),)),
        chunk(6, offset_s=40, speech=((0.0, 5.5),)),
    ]
    scene.model.languages = tokens_of(tokenizer, "de", "de", "en", "de", "de")
    scene.model.script = [text_for(5), text_for(5.5), text_for(0.5)]
    long_form = scene.long_form(DETECTING)
    list(scene.feed(long_form, chunks, ramps_up=True))
    assert long_form.language == "de"
    assert languages_fed(scene, tokenizer) == ["de"] * 3
    assert len(scene.model.asked) == 6, "the second again, because the first sounds like another language"


def test_a_short_recording_is_asked_and_decoded_in_one_go(scene: Scene, tokenizer: WhisperTokenizer) -> None:
    scene.model.script = [text_for(1)]
    assert len(list(scene.feed(scene.long_form(DETECTING), [chunk(1)], ramps_up=True))) == 1
    assert languages_fed(scene, tokenizer) == ["de"]
    assert (len(scene.model.asked), len(scene.model.frames)) == (1, 1)


def test_no_more_short_chunks_are_waited_for_than_may_be_in_memory(scene: Scene) -> None:
    """Two at a time here: waiting for ten seconds of speech would wait for ever."""
    chunks = [chunk(1, offset_s=10 * n, speech=((0.0, 1.0),)) for n in range(5)]
    scene.model.script = [text_for(1)] * 5
    long_form = scene.long_form(DETECTING, max_ahead=2)
    assert len(list(scene.feed(long_form, chunks, max_ahead=2, ramps_up=True))) == 5
    assert long_form.language == "de"


def test_a_chunk_in_two_languages_becomes_two_windows(scene: Scene, tokenizer: WhisperTokenizer) -> None:
    scene.model.languages = tokens_of(tokenizer, "de", "de", "en")
    result = scene.run([chunk(29, speech=THREE_PARTS)], text_for(18), text_for(9.5, first=1), options=DETECTING)
    assert languages_fed(scene, tokenizer) == ["de", "en"]
    assert described(result) == [(0.0, 18.0, "de"), (18.9, 28.0, "en")], "from where the speech is"
    assert len(scene.model.frames) == 3, "the whole chunk for the question, then each passage"
    assert scene.model.frames[1] < scene.model.frames[0] <= N_FRAMES


def test_a_later_chunk_may_be_in_another_language(scene: Scene, tokenizer: WhisperTokenizer) -> None:
    scene.model.languages = tokens_of(tokenizer, "de", "en", "de")
    scene.model.script = [text_for(SPOKEN_S)] * 3
    long_form = scene.long_form(DETECTING, max_ahead=1)
    chunks = [long_chunk(offset_s=20 * n) for n in range(3)]
    result = list(scene.feed(long_form, chunks, max_ahead=1))
    assert [segment.language for segment in result] == ["de", "en", "de"]
    assert long_form.language == "de", "the recording's"


def test_a_short_chunk_goes_on_in_the_language_of_the_one_before(
    scene: Scene, tokenizer: WhisperTokenizer
) -> None:
    """They run side by side: their languages are decided in their order."""
    scene.model.languages = tokens_of(tokenizer, "de", "en", "en")
    scene.model.script = [text_for(SPOKEN_S), text_for(SPOKEN_S), text_for(1.5)]
    chunks = [long_chunk(), long_chunk(offset_s=20), chunk(1.5, offset_s=40, speech=((0.0, 1.5),))]
    result = list(scene.feed(scene.long_form(DETECTING), chunks))
    assert [segment.language for segment in result] == ["de", "en", "en"]


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        pytest.param("en", ["de", "en", "en"], id="English follows"),
        pytest.param("de", ["de", "de", "de"], id="German goes on"),
        pytest.param(None, ["de", "de"], id="nothing follows"),
    ],
)
@pytest.mark.parametrize("conditions", [False, True], ids=["side by side", "one after the other"])
def test_a_word_between_long_pauses_is_in_the_language_of_what_follows_if_that_is_likelier(
    scene: Scene, tokenizer: WhisperTokenizer, last: str | None, expected: list[str], conditions: bool
) -> None:
    chunks = [long_chunk(), chunk(1, offset_s=20, speech=((0.0, 0.5),))]
    spoken = {0.0: "de", 20.0: "en"}
    if last is not None:
        chunks.append(long_chunk(offset_s=30))
        spoken[30.0] = last
    order = [0.0, 20.0, *([30.0, 30.0] if last else [])]
    scene.model.languages = tokens_of(tokenizer, *(spoken[at_s] for at_s in order))
    side_by_side = last is not None and not conditions
    others = [] if last is None else [text_for(SPOKEN_S)]
    scene.model.script = [
        text_for(SPOKEN_S),
        *(others if side_by_side else []),
        text_for(0.5),
        *([] if side_by_side else others),
    ]
    options = TranscriptionOptions(condition_on_previous_text=conditions)
    result = list(scene.feed(scene.long_form(options), chunks))
    assert [segment.language for segment in result] == expected
    assert len(scene.model.asked) == len(order), "only the chunk after the word is asked again"


def test_a_word_between_long_pauses_waits_for_no_more_than_may_be_in_memory(
    scene: Scene, tokenizer: WhisperTokenizer
) -> None:
    scene.model.languages = tokens_of(tokenizer, "de", "en", "en")
    scene.model.script = [text_for(SPOKEN_S), text_for(0.5), text_for(SPOKEN_S)]
    chunks = [long_chunk(), chunk(1, offset_s=20, speech=((0.0, 0.5),)), long_chunk(offset_s=30)]
    result = list(scene.feed(scene.long_form(DETECTING, max_ahead=1), chunks, max_ahead=1))
    assert [segment.language for segment in result] == ["de", "de", "en"]


def test_only_allowed_languages_are_used(scene: Scene, tokenizer: WhisperTokenizer) -> None:
    scene.model.languages = tokens_of(tokenizer, "de", "de", "en")
    options = TranscriptionOptions(languages=("de", "fr"))
    result = scene.run([chunk(29, speech=THREE_PARTS)], text_for(28), options=options)
    assert described(result) == [(0.0, 28.0, "de")]


@pytest.mark.parametrize("n_chunks", [1, 3])
def test_detecting_only_the_language_decodes_nothing(
    scene: Scene, tokenizer: WhisperTokenizer, n_chunks: int
) -> None:
    scene.model.language = tokenizer.language_tokens["es"]
    long_form = scene.long_form(TranscriptionOptions(detects_language_only=True))
    chunks = [long_chunk(offset_s=20 * n) for n in range(n_chunks)]
    assert list(scene.feed(long_form, chunks, ramps_up=True)) == []
    assert long_form.language == "es"
    assert scene.model.states == [], "no prompt was fed"
    assert len(scene.model.asked) == 1, "the first chunk is enough"
    assert scene.request.is_cancelled, "nothing of it may stay behind"


def test_detecting_only_the_language_of_silence_ends(scene: Scene) -> None:
    long_form = scene.long_form(TranscriptionOptions(detects_language_only=True))
    assert list(scene.feed(long_form, [])) == []
    assert (long_form.language, scene.model.asked) == (None, [])


def described(result: list[Segment]) -> list[tuple[float, float, str | None]]:
    return [(round(segment.start, 2), round(segment.end, 2), segment.language) for segment in result]
