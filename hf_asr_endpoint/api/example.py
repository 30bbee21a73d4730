"""A transcription from which the description of the API makes its examples, with the code that renders answers."""

from __future__ import annotations

from hf_asr_endpoint.types import DecodedWindow, Segment, TokenLogprob, Transcription, Word

_WINDOW = DecodedWindow(
    start=0.25, temperature=0.0, avg_logprob=-0.21, compression_ratio=1.04, no_speech_prob=0.01
)


def _segment(start: float, words: str, times: tuple[float, ...], tokens: tuple[int, ...]) -> Segment:
    """Return a segment. times: of its beginning and the end of each word."""
    said = [f" {word}" for word in words.split()]
    return Segment(
        start=start,
        end=times[-1],
        text="".join(said),
        tokens=tokens,
        window=_WINDOW,
        words=tuple(
            Word(word=word, start=begin, end=end, probability=0.97)
            for word, begin, end in zip(said, times[:-1], times[1:], strict=True)
        ),
        token_logprobs=(TokenLogprob(token=said[0].encode(), logprob=-0.03),),
        language="en",
    )


EXAMPLE = Transcription(
    task="transcribe",
    language="en",
    language_probability=0.98,
    duration_s=4.2,
    segments=(
        _segment(0.25, "Ask not.", (0.25, 0.8, 1.5), (50376, 10456, 406, 13, 50439)),
        _segment(
            1.5, "Ask what you can do.", (1.5, 1.9, 2.3, 2.6, 3.0, 3.8), (50439, 10456, 437, 291, 393, 360, 13)
        ),
    ),
)
