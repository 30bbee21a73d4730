"""Which language a chunk's parts are in: the question to the engine, and its answer as votes."""

from __future__ import annotations

from collections.abc import Sequence as Many

from hf_asr_endpoint.audio.chunking import SpeechSpan
from hf_asr_endpoint.engine.sequence import Detection
from hf_asr_endpoint.transcription.passages import Vote, positions, split_parts
from hf_asr_endpoint.transcription.spectrogram import ChunkSpectrogram
from hf_asr_endpoint.whisper.language_scores import LanguageScores


def detection(spectrogram: ChunkSpectrogram, speech: Many[SpeechSpan]) -> Detection:
    """Return the question which language a chunk's parts are in."""
    window = spectrogram.window(0.0, is_whole=False)
    return Detection(window=window, spans=tuple(positions(split_parts(speech))))


def votes_of(speech: Many[SpeechSpan], scores: Many[LanguageScores]) -> list[Vote]:
    """Return the answers to `detection`."""
    return [Vote(part=part, scores=of_part) for part, of_part in zip(split_parts(speech), scores, strict=True)]
